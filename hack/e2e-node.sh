#!/usr/bin/env bash
# Runs the end-to-end suite on a one-node cluster of its own, which the scripts in the folder $1 make and end. The control
# plane's binaries and helm are those of hack/, so that nothing is built twice. A cluster that is up already stays up.
set -euo pipefail
cluster=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
image=seam-session-operator:e2e

export SEAM_NODE_DIR=${SEAM_NODE_DIR:-${TMPDIR:-/tmp}/seam-node}
export SEAM_NODE_BIN=${SEAM_OPERATOR_CACHE:-$PWD/.cache}/node
export KUBECONFIG=$SEAM_NODE_DIR/kubeconfig E2E_LOAD=$cluster/image.sh
mkdir -p "$SEAM_NODE_BIN"
assets=$(hack/controlplane/assets.sh)
ln -sfn "$assets/etcd" "$assets/kube-apiserver" "$assets/kubectl" "$(hack/helm/build.sh)" "$SEAM_NODE_BIN"

"$cluster/build.sh"
[ -e "$KUBECONFIG" ] || trap '"$cluster/down.sh"' EXIT
"$cluster/up.sh"
"$cluster/image.sh" . "$image"
make --no-print-directory e2e IMG="$image"
