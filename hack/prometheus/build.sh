#!/usr/bin/env bash
# Prints the folder of prometheus and promtool, at the version of hack/versions.env; builds them from their Go module the first
# time, which takes some minutes. PROMETHEUS, if set, is the folder that is taken instead.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../versions.env
. "$here/../versions.env"
export GOWORK=off CGO_ENABLED=0

if [ -n "${PROMETHEUS:-}" ]; then
  printf '%s\n' "$PROMETHEUS"
  exit
fi
cache=${SEAM_OPERATOR_CACHE:-$here/../../.cache}/prometheus/$PROMETHEUS_VERSION
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
if [ ! -x "$cache/promtool" ]; then
  printf 'prometheus: building %s from its Go module, once\n' "$PROMETHEUS_VERSION" >&2
  work=$(mktemp -d "$cache/building.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  # Its targets are given in a file: it needs no cloud's service discovery.
  go -C "$here" build -tags remove_all_sd -trimpath -buildvcs=false -ldflags '-s -w' -o "$work/" \
    github.com/prometheus/prometheus/cmd/prometheus github.com/prometheus/prometheus/cmd/promtool
  mv -f "$work/prometheus" "$work/promtool" "$cache/"
fi
printf '%s\n' "$cache"
