#!/usr/bin/env bash
# Prints the folder that holds kube-apiserver, etcd and kubectl, as KUBEBUILDER_ASSETS wants it; tells what it does on
# stderr. Takes the first of: KUBEBUILDER_ASSETS, the cache, setup-envtest's download, a build from the Go modules. The
# last exists because that download needs hosts which many closed networks don't reach, while a Go module proxy is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=../versions.env
. "$here/../versions.env"

export GOWORK=off CGO_ENABLED=0

say() { printf 'control plane: %s\n' "$*" >&2; }
finish() { printf '%s\n' "$1"; exit 0; }
complete() { [ -x "$1/kube-apiserver" ] && [ -x "$1/etcd" ] && [ -x "$1/kubectl" ]; }

# bounded SECONDS COMMAND... runs it for so long at most: timeout(1) is not everywhere.
bounded() {
  local seconds=$1 tick; shift
  "$@" & local command=$!
  for ((tick = 0; tick < seconds * 5; tick++)); do kill -0 "$command" 2>/dev/null || break; sleep 0.2; done
  kill "$command" 2>/dev/null || true
  wait "$command"
}

# download takes the newest patch release of the minor version that was published as test assets: not every one is.
download() {
  local tool=$work/setup-envtest version=${KUBE_VERSION%.*}.x path
  go -C "$here/../tools" build -o "$tool" sigs.k8s.io/controller-runtime/tools/setup-envtest 2>"$work/log" || return 1
  bounded 20 "$tool" list "$version" >"$work/log" 2>&1 || return 1
  say "downloading Kubernetes $version by setup-envtest"
  path=$(bounded 600 "$tool" use "$version" --bin-dir "$cache" --print path 2>"$work/log") && complete "$path" || return 1
  ln -sfn "$path" "$assets"
}

# build NAME MODULE PACKAGE LDFLAGS builds into a temporary folder and renames, so that nothing half is ever found.
build() {
  local name=$1 module=$2 package=$3 ldflags=$4
  [ ! -x "$assets/$name" ] || return 0
  say "building $name from $package"
  go -C "$here/$module" build -v -trimpath -buildvcs=false -ldflags "-s -w$ldflags" -o "$work/$name" "$package" 2>&1 | progress "$name"
  mkdir -p "$assets"
  mv -f "$work/$name" "$assets/$name"
}

# progress counts the packages that go build -v names and passes every other line on.
progress() {
  awk -v name="$1" '
    /^go: downloading/ { next }
    /^[^ :]+$/ { if (++n % 100) next; $0 = "control plane: " name ": " n " packages compiled" }
    { print; fflush() }' >&2
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  complete "$KUBEBUILDER_ASSETS" || { say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS lacks kube-apiserver, etcd or kubectl"; exit 1; }
  finish "$KUBEBUILDER_ASSETS"
fi
cache=${SEAM_OPERATOR_CACHE:-$root/.cache}/k8s
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
assets=$cache/$KUBE_VERSION-etcd-$ETCD_VERSION
complete "$assets" && finish "$assets"

if command -v flock >/dev/null; then
  exec 9>"$cache/lock"
  flock -n 9 || { say "waiting for another run that is preparing it"; flock 9; }
  rm -rf "$cache"/building.* # of a run that was killed
  complete "$assets" && finish "$assets"
fi
work=$(mktemp -d "$cache/building.XXXXXX")
trap 'rm -rf "$work"' EXIT

if [ ! -d "$assets" ]; then
  download && finish "$assets"
  reason=$(tail -n 1 "$work/log" | tail -c 60)
  say "setup-envtest could not get it (${reason:-no answer}): building it from source, once"
fi
version=k8s.io/component-base/version
minor=${KUBE_VERSION#*.}
build etcd etcd go.etcd.io/etcd/server/v3 ''
build kubectl kubernetes k8s.io/kubernetes/cmd/kubectl " -X $version.gitVersion=v$KUBE_VERSION -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*}"
build kube-apiserver kubernetes k8s.io/kubernetes/cmd/kube-apiserver " -X $version.gitVersion=v$KUBE_VERSION -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*}"
finish "$assets"
