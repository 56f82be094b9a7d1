#!/usr/bin/env bash
# Installs Seam's own fake server at the versions of the lock file, unless that is done. Where Node is missing it says so
# and succeeds: tests then skip the contract test, and the demo uses the project's own fake.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v npm >/dev/null; then
  echo "fake-seam: no Node here, so Seam's own fake server is not installed" >&2
elif [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
fi
