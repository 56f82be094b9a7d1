#!/usr/bin/env bash
# Makes in .cache/dist all that a release of version $1 has and that needs no registry: binaries, an OCI image layout, manifests,
# the chart, SBOMs and checksums. IMAGE ($2) is where the image will be, without tag: the manifests and the chart name it by the
# digest that it has here. The same commit makes the same bytes with the same Go on the same architecture, wherever the clone is.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$1 image=$2
name=seam-session-operator
dist=.cache/dist
tools=.cache/bin

if ! [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]]; then
  echo "release: '$version' is no version: make release VERSION=1.2.3" >&2
  exit 1
fi
if [ -n "$(git status --porcelain)" ]; then
  echo 'release: the tree differs from the commit that the release would be named after: commit or stash first' >&2
  exit 1
fi
# What would change bytes, whatever the machine's settings are.
export GOFLAGS=-trimpath GOWORK=off GOEXPERIMENT= CGO_ENABLED=0 GOAMD64=v1 GOARM64=v8.0 LC_ALL=C TZ=UTC
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
umask 022

rm -rf "$dist"
mkdir -p "$dist" "$tools"
go -C hack/release build -buildvcs=false -o "$PWD/$tools/" . github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
for architecture in amd64 arm64; do
  binary=$dist/${name}_${version}_linux_$architecture
  GOOS=linux GOARCH=$architecture go build -buildvcs=false -ldflags "-s -w -X main.version=$version" -o "$binary" .
  "$tools/cyclonedx-gomod" bin -json -noserial -notimestamp -std -version "v$version" -output "$binary.cdx.json" "$binary"
done
digest=$("$tools/release" -dist="$dist" -version="$version" -revision="$(git rev-parse HEAD)" -epoch="$SOURCE_DATE_EPOCH" amd64 arm64)
# The layout as a file, for whoever takes it from a release: docker load, ctr images import and skopeo read it.
tar --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$dist/image" \
  -cf "$dist/${name}_${version}_image.tar" blobs index.json oci-layout

hack/installer.sh "$image:$version@$digest" >/dev/null
mv .cache/install.yaml "$dist/install.yaml"

# The chart names the image, and packages keep the time of their files.
chart=.cache/release-chart/$name
rm -rf "$chart"
mkdir -p "$(dirname "$chart")"
cp -R config/chart "$chart"
sed -i -e "s|^  repository: $name\$|  repository: $image|" -e "s|^  digest: \"\"\$|  digest: $digest|" "$chart/values.yaml"
if ! grep -qxF "  repository: $image" "$chart/values.yaml" || ! grep -qxF "  digest: $digest" "$chart/values.yaml"; then
  echo 'release: config/chart/values.yaml has no image.repository or image.digest to set' >&2
  exit 1
fi
find "$chart" -exec touch --date="@$SOURCE_DATE_EPOCH" {} +
"$(hack/helm/build.sh)" package "$chart" --version="$version" --app-version="$version" --destination="$dist" >/dev/null

(cd "$dist" && find . -type f | sed 's|^\./||' | sort | xargs sha256sum >../checksums.txt && mv ../checksums.txt .)
printf '%s: %s of %s, image %s\n' "$dist" "$version" "$(git rev-parse --short HEAD)" "$digest"
