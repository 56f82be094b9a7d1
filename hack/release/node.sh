#!/usr/bin/env bash
# Installs what make release left in .cache/dist on a one-node cluster of its own, which the scripts in the folder $1 make and
# end: once install.yaml by kubectl, once the chart by Helm. The image comes from the layout, by the digest that both name; a
# registry is not asked. A cluster that is up already stays up.
set -euo pipefail
cluster=$(cd "${1:?set CLUSTER to a folder with build.sh, up.sh and down.sh}" && pwd)
cd "$(dirname "$0")/../.."
if [ ! -e .cache/dist/install.yaml ]; then
  echo 'release: nothing to install in .cache/dist: make release VERSION=1.2.3' >&2
  exit 1
fi
namespace=seam-session-operator-system
name=seam-session-operator
# Where install.yaml says that the image is; a name alone is one of Docker Hub's.
repository=$(sed -n 's|^ *image: \(.*\):[^:]*@sha256:.*|\1|p' .cache/dist/install.yaml)
[ "$repository" != "$name" ] || repository=docker.io/library/$name

export SEAM_NODE_DIR=${SEAM_NODE_DIR:-${TMPDIR:-/tmp}/seam-node}
export SEAM_NODE_BIN=${SEAM_OPERATOR_CACHE:-$PWD/.cache}/node
export KUBECONFIG=$SEAM_NODE_DIR/kubeconfig
mkdir -p "$SEAM_NODE_BIN"
assets=$(hack/controlplane/assets.sh) helm=$(hack/helm/build.sh) kubectl=$assets/kubectl
ln -sfn "$assets/etcd" "$assets/kube-apiserver" "$kubectl" "$helm" "$SEAM_NODE_BIN"

"$cluster/build.sh"
[ -e "$KUBECONFIG" ] || trap '"$cluster/down.sh"' EXIT
"$cluster/up.sh"
ctr -a "$SEAM_NODE_DIR/run/containerd.sock" -n k8s.io images import --digests --base-name "$repository" .cache/dist/"$name"_*_image.tar

check() {
  "$kubectl" -n "$namespace" rollout status deployment/"$name" --timeout=90s
  "$kubectl" -n "$namespace" get pods -o jsonpath='{range .items[*].status.containerStatuses[*]}{.image} {.imageID}{"\n"}{end}'
  "$kubectl" -n "$namespace" exec deploy/"$name" -- /"$name" --check --leader-election-namespace="$namespace"
}
printf '\n==> install.yaml\n'
"$kubectl" apply --server-side -f .cache/dist/install.yaml
check
"$kubectl" delete -f .cache/dist/install.yaml

printf '\n==> the chart\n'
"$helm" install "$name" .cache/dist/"$name"-[0-9]*.tgz --namespace="$namespace" --create-namespace --wait --timeout=90s
check
"$helm" test "$name" --namespace="$namespace"
"$helm" uninstall "$name" --namespace="$namespace"
"$kubectl" delete namespace "$namespace"
"$kubectl" delete crd seamclientsessions.connect.seam.co seamworkspaces.connect.seam.co
printf '\nBoth run from the output of the release.\n'
