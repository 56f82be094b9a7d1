# Both may be replaced by the mirror or the hardened image of whoever builds.
ARG BUILD_IMAGE=docker.io/library/golang:1.26
ARG BASE_IMAGE=gcr.io/distroless/static:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
# In a layer of its own: modules are fetched again only when they change.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=${VERSION}" -o /seam-session-operator .

FROM ${BASE_IMAGE}
COPY --from=build /seam-session-operator /seam-session-operator
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
ENTRYPOINT ["/seam-session-operator"]
