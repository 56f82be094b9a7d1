#!/usr/bin/env bash
# Renders config/default, with the image in $1, into .cache/install.yaml. The image is set in an overlay there, because
# `kustomize edit set image` in config/manager would change the tracked tree.
set -euo pipefail
cd "$(dirname "$0")/.."
image=$1
root=$PWD
kustomize() { go tool -modfile="$root/hack/tools/go.mod" kustomize "$@"; }

mkdir -p .cache/installer
cd .cache/installer
echo 'resources: [../../config/default]' >kustomization.yaml
kustomize edit set image "seam-session-operator=$image"
kustomize build . >install.yaml
mv install.yaml ../install.yaml
echo '.cache/install.yaml'
