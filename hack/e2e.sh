#!/usr/bin/env bash
# Runs the end-to-end suite against the cluster that KUBECONFIG points at, with the operator's image IMG ($1), which is
# there already. The suite's pods need an image too: it is built here and loaded into kind, or by the command E2E_LOAD,
# which gets a folder with a Dockerfile and a name. With E2E_POD_IMG it is one that is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
image=$1
out=.cache/e2e-pod
pod_image=${E2E_POD_IMG:-seam-session-operator-e2e:local}

helm=$(hack/helm/build.sh)
assets=$(hack/controlplane/assets.sh)
mkdir -p "$out" .cache/bin
if [ -z "${E2E_POD_IMG:-}" ]; then
  CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$out/pod" ./hack/e2e/pod
  cp hack/e2e/pod/Dockerfile "$out"
  context=$("$assets/kubectl" config current-context)
  if [ -z "${E2E_LOAD:-}" ] && [ "$context" = seam-node ] && [ -x ../shared/cluster/image.sh ]; then
    E2E_LOAD=../shared/cluster/image.sh
  fi
  if [ -n "${E2E_LOAD:-}" ]; then
    $E2E_LOAD "$out" "$pod_image"
  elif [ "${context#kind-}" != "$context" ]; then
    docker build -t "$pod_image" "$out"
    kind load docker-image --name "${context#kind-}" "$pod_image"
  else
    echo "e2e: don't know how to load an image into $context: set E2E_LOAD or E2E_POD_IMG" >&2
    exit 1
  fi
fi
CGO_ENABLED=0 go build -trimpath -buildvcs=false -o .cache/bin/e2e ./hack/e2e
exec .cache/bin/e2e --image="$image" --pod-image="$pod_image" --helm="$helm" --kubectl="$assets/kubectl"
