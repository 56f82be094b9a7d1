#!/usr/bin/env bash
# Runs every fuzz test for a while: go test can fuzz only one at a time.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}

grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' api internal | while IFS=: read -r file declaration; do
  go test "./$(dirname "$file")" -run='^$' -fuzz="^${declaration#func }\$" -fuzztime="$time" </dev/null
done
