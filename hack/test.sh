#!/usr/bin/env bash
# Runs all tests: brings up what they need (control plane, helm, Prometheus, Seam's own fake), then go test with the race detector over
# every package. Leaves log and coverage profile in .cache. go test's closing lines are repeated at the end, below the
# coverage, so that they are the last thing on the screen.
set -euo pipefail
cd "$(dirname "$0")/.."

hack/fake-seam/install.sh
KUBEBUILDER_ASSETS=$(hack/controlplane/assets.sh)
HELM=$(hack/helm/build.sh)
PROMETHEUS=$(hack/prometheus/build.sh)
export KUBEBUILDER_ASSETS HELM PROMETHEUS

mkdir -p .cache
log=.cache/test.log profile=.cache/cover.out
status=0
go test -race -count=1 -timeout=20m -coverpkg=./internal/... -coverprofile="$profile" "$@" ./... 2>&1 | tee "$log" || status=$?
# All seeds of the simulation, of which the race detector, with little to see in it, is given a few.
go test -count=1 -timeout=10m -run='^TestSimulation$' ./internal/controller 2>&1 | tee -a "$log" || status=$?

if [ "$status" -eq 0 ]; then
  # seamtest is not what is tested, but a part of the tests.
  grep -v /seamtest/ "$profile" >"$profile.internal"
  printf '\ncoverage of internal/: %s\n' "$(go tool cover -func="$profile.internal" | awk '/^total:/ { print $NF }')"
fi
grep -E '^(ok|FAIL)([[:space:]]|$)' "$log" || true
exit "$status"
