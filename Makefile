# Needs Go, make and a C compiler (for the race detector); Node for the contract test. Everything else is pinned and
# fetched through Go modules: tools in hack/tools, hack/lint, hack/helm, hack/prometheus and hack/release, the control plane
# of tests in hack/versions.env.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# IMG is the image that docker-build makes, and that build-installer and deploy write into the manifests.
IMG ?= seam-session-operator:$(VERSION)
CONTAINER_TOOL ?= docker
# OUT is where generated files go: hack/verify.sh sets it to a temporary folder.
OUT ?= .
FUZZTIME ?= 30s
DURATION ?= 10m

# Helm reads no file outside the chart: these are copies of what the manifests have.
CHART_FILES := $(OUT)/config/chart/files

BIN := .cache/bin
TOOL := go tool -modfile=hack/tools/go.mod
LINT := go tool -modfile=hack/lint/go.mod golangci-lint
GO_BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false

##@ Develop

.PHONY: help
help: ## Show this help
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { print "\n" substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: generate
generate: ## Generate deep-copy methods
	@$(TOOL) controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/v1alpha1 output:object:dir=$(OUT)/api/v1alpha1

.PHONY: manifests
manifests: ## Generate the CRDs, the RBAC rules, their copies in the chart, its README and docs/api.md
	@mkdir -p $(OUT)/docs $(CHART_FILES)/rbac $(CHART_FILES)/crd
	@$(TOOL) controller-gen crd paths=./api/... output:crd:dir=$(OUT)/config/crd/bases
	@$(TOOL) controller-gen rbac:roleName=seam-session-operator paths=./internal/... output:rbac:dir=$(OUT)/config/rbac
	@cp $(OUT)/config/crd/bases/*.yaml $(CHART_FILES)/crd
	@cp $(wildcard config/rbac/*_role.yaml) $(OUT)/config/rbac/role.yaml $(CHART_FILES)/rbac
	@$(TOOL) crd-ref-docs --config=hack/crd-ref-docs.yaml --source-path=api --renderer=markdown --output-path=$(OUT)/docs/api.md --log-level=ERROR
	@$(TOOL) helm-docs --chart-search-root=config/chart --template-files=hack/release/chart-README.md.gotmpl --dry-run \
		--log-level=warning >$(OUT)/config/chart/README.md

.PHONY: fmt
fmt: ## Format the Go code
	@$(LINT) fmt

.PHONY: vet
vet: ## Run go vet
	@go vet ./...

.PHONY: lint
lint: ## Run golangci-lint
	@$(LINT) run

.PHONY: verify
verify: ## Check that generated files, formatting, modules and pins are as committed
	@hack/verify.sh

##@ Test

.PHONY: test
test: ## Run all tests with the race detector; sets up all that they need
	@hack/test.sh

.PHONY: chart-lint
chart-lint: ## Run helm lint --strict over the chart
	@helm=$$(hack/helm/build.sh) && "$$helm" lint --strict --quiet config/chart

.PHONY: e2e
e2e: ## Install IMG, which is there already, on the cluster of KUBECONFIG, and use it
	@hack/e2e.sh $(IMG)

.PHONY: simulate
simulate: ## Run SEEDS (default 200) simulations of the reconciler, or that of SEED again
	@SEEDS=$(SEEDS) SEED=$(SEED) go test -count=1 -timeout=0 -run='^TestSimulation(OfProvisionedSessions)?$$' ./internal/controller

.PHONY: soak
soak: ## Run the operator for DURATION (default 10m) against a Seam that changes its mind, and kill it again and again
	@assets=$$(hack/controlplane/assets.sh) && KUBEBUILDER_ASSETS=$$assets SOAK=100 DURATION=$(DURATION) \
		go test -count=1 -timeout=0 ./internal/acceptance -ginkgo.focus='Soak ends|killed again and again'

.PHONY: fuzz
fuzz: ## Run every fuzz test for FUZZTIME (default 30s)
	@hack/fuzz.sh $(FUZZTIME)

.PHONY: demo
demo: build ## Show the operator at work on a control plane of its own; Ctrl-C ends it
	@hack/fake-seam/install.sh
	@assets=$$(hack/controlplane/assets.sh) && $(GO_BUILD) -o $(BIN)/demo ./hack/demo && \
		KUBEBUILDER_ASSETS=$$assets exec $(BIN)/demo --operator=$(BIN)/seam-session-operator

.PHONY: bench
bench: build ## Measure the operator beside the floor; flags in ARGS, figures also in .cache/bench.json
	@assets=$$(hack/controlplane/assets.sh) && $(GO_BUILD) -o $(BIN)/bench ./hack/bench && \
		KUBEBUILDER_ASSETS=$$assets exec $(BIN)/bench --operator=$(BIN)/seam-session-operator $(ARGS)

.PHONY: bench-scale
bench-scale: ## Measure as bench does with 1,000 to 20,000 sessions, then ten thousand: idle, spread, and after an outage
	@$(MAKE) --no-print-directory bench ARGS='-sessions=1000,5000,10000,20000 -measures=sizes,idle,spread,outage $(ARGS)'

##@ Build

.PHONY: build
build: ## Build the operator into .cache/bin
	@$(GO_BUILD) -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/seam-session-operator .

.PHONY: run
run: build ## Run the operator against the current kubeconfig (flags in ARGS)
	@exec $(BIN)/seam-session-operator $(ARGS)

.PHONY: docker-build
docker-build: ## Build the image IMG with CONTAINER_TOOL
	@$(CONTAINER_TOOL) build --build-arg VERSION=$(VERSION) -t $(IMG) .

.PHONY: build-installer
build-installer: ## Render all manifests, with the image IMG, into .cache/install.yaml
	@hack/installer.sh $(IMG)

##@ Release

# Where a release says that its image is, without tag.
IMAGE ?= seam-session-operator

.PHONY: release
release: ## Make binaries, image layout, manifests, chart, SBOMs and checksums of VERSION in .cache/dist, to be pushed to IMAGE
	@hack/release/release.sh '$(VERSION)' '$(IMAGE)'

.PHONY: release-check
release-check: ## Make release VERSION in two clones in different places, and compare the bytes
	@hack/release/check.sh '$(VERSION)' '$(IMAGE)'

.PHONY: release-node
release-node: ## Install what release left on a node that the scripts in CLUSTER make
	@hack/release/node.sh '$(CLUSTER)'

##@ Deploy

.PHONY: install
install: ## Install the CRDs into the current cluster
	@$(TOOL) kustomize build config/crd | kubectl apply -f -

.PHONY: uninstall
uninstall: ## Remove the CRDs, and with them every SeamClientSession and SeamWorkspace
	@$(TOOL) kustomize build config/crd | kubectl delete --ignore-not-found -f -

.PHONY: deploy
deploy: build-installer ## Install CRDs, RBAC and operator into the current cluster
	@kubectl apply -f .cache/install.yaml

.PHONY: undeploy
undeploy: build-installer ## Remove all that deploy installed
	@kubectl delete --ignore-not-found -f .cache/install.yaml
