#!/usr/bin/env bash
# Prints where helm is, at the version of hack/versions.env; builds it from its Go module the first time, which takes some
# minutes. HELM, if set, is taken instead.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../versions.env
. "$here/../versions.env"
export GOWORK=off CGO_ENABLED=0

if [ -n "${HELM:-}" ]; then
  command -v "$HELM"
  exit
fi
cache=${SEAM_OPERATOR_CACHE:-$here/../../.cache}/helm/$HELM_VERSION
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
if [ ! -x "$cache/helm" ]; then
  printf 'helm: building %s from its Go module, once\n' "$HELM_VERSION" >&2
  work=$(mktemp -d "$cache/building.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  go -C "$here" build -trimpath -buildvcs=false \
    -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v$HELM_VERSION" -o "$work/helm" helm.sh/helm/v4/cmd/helm
  mv -f "$work/helm" "$cache/helm"
fi
printf '%s\n' "$cache/helm"
