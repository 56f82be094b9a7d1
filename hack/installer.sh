#!/usr/bin/env bash
# Prints config/default as one YAML, with the image in $1 (name:tag). The image is set by an overlay outside the tracked
# tree: `kustomize edit set image` would change config/manager.
set -euo pipefail
cd "$(dirname "$0")/.."
image=$1

mkdir -p .cache/installer
cat >.cache/installer/kustomization.yaml <<YAML
resources: [../../config/default]
images: [{name: seam-session-operator, newName: "${image%:*}", newTag: "${image##*:}"}]
YAML
go tool -modfile=hack/tools/go.mod kustomize build .cache/installer
