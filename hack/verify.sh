#!/usr/bin/env bash
# Checks, without touching the tree, that what can be derived is what is committed: generated files, formatting, go.mod
# and go.sum of every module, and the pins of the control plane; and lints the workflows. Reports everything that is wrong,
# not the first.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/versions.env

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
wrong() { printf 'verify: %s\n' "$*" >&2; failed=1; }

# What the generators make now, against the tree; and what they no longer make.
make --no-print-directory generate manifests OUT="$work"
(cd "$work" && find . -type f | sed 's|^\./||' | sort) >"$work.files"
while read -r file; do
  diff -u "$file" "$work/$file" || wrong "$file is out of date: run make generate manifests"
  git ls-files --error-unmatch "$file" >/dev/null 2>&1 || wrong "$file is generated and not committed"
done <"$work.files"
for file in config/crd/bases/* config/chart/files/crd/* config/chart/files/rbac/*; do
  grep -qxF "$file" "$work.files" || wrong "$file is not generated any more: remove it"
done
rm -f "$work.files"

unformatted=$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -l)
[ -z "$unformatted" ] || wrong "not formatted, run make fmt: $unformatted"

for module in $(git ls-files '*go.mod'); do
  go -C "$(dirname "$module")" mod tidy -diff || wrong "$module or its go.sum is not tidy: run go mod tidy there"
done

# Without shellcheck, which is there on some machines and not on others.
go tool -modfile=hack/tools/go.mod actionlint -shellcheck= -pyflakes= || wrong 'a workflow is not right'

pinned() { grep -qF "$2" "hack/$1/go.mod" || wrong "hack/$1/go.mod lacks '$2': see hack/versions.env"; }
pinned controlplane/kubernetes "k8s.io/kubernetes v$KUBE_VERSION"
pinned controlplane/kubernetes "k8s.io/apiserver => k8s.io/apiserver v0.${KUBE_VERSION#1.}"
pinned controlplane/etcd "go.etcd.io/etcd/server/v3 v$ETCD_VERSION"
pinned helm "helm.sh/helm/v4 v$HELM_VERSION"
pinned prometheus "github.com/prometheus/prometheus v$PROMETHEUS_VERSION"

[ "$failed" -eq 0 ] && echo 'verify: all is as committed'
exit "$failed"
