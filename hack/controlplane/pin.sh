#!/usr/bin/env bash
# Writes the two modules that the control plane is built from, for the versions in hack/versions.env. They are committed,
# so that a build needs no resolving of versions and go.sum vouches for every line of source.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=../versions.env
. ../versions.env

# new_module DIR PACKAGE... writes DIR/tools.go, which imports the commands, and an empty DIR/go.mod.
new_module() {
  local dir=$1 package; shift
  mkdir -p "$dir"
  rm -f "$dir/go.sum"
  printf 'module %s/hack/controlplane/%s\n\ngo 1.26.0\n' github.com/seam-session-operator/seam-session-operator "$dir" >"$dir/go.mod"
  {
    printf '//go:build tools\n\n// Package %s names the commands to build; hack/controlplane/pin.sh writes this module.\npackage %s\n\nimport (\n' "$dir" "$dir"
    for package; do printf '\t_ "%s"\n' "$package"; done
    printf ')\n'
  } >"$dir/tools.go"
}

new_module kubernetes k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl
# Kubernetes replaces its staging modules by folders of its own repository; as a dependency, those have to be named.
source_mod=$(cd kubernetes && go mod download -json "k8s.io/kubernetes@v$KUBE_VERSION" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
{
  printf '\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$KUBE_VERSION"
  sed -n "s|^[[:space:]]*\(k8s\.io/[a-z0-9-]*\) => \./staging.*|\t\1 => \1 v0.${KUBE_VERSION#1.}|p" "$source_mod"
  printf ')\n'
} >>kubernetes/go.mod
go -C kubernetes mod tidy

new_module etcd go.etcd.io/etcd/server/v3
go -C etcd mod edit -require="go.etcd.io/etcd/server/v3@v$ETCD_VERSION"
go -C etcd mod tidy
