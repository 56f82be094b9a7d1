#!/usr/bin/env bash
# Makes the release of version $1 with IMAGE ($2) from two clean clones of HEAD in different places, and compares the bytes.
set -euo pipefail
version=$1 image=$2
cd "$(dirname "$0")/../.."
export SEAM_OPERATOR_CACHE=${SEAM_OPERATOR_CACHE:-$PWD/.cache}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
release() { # CLONE
  git clone --quiet --no-local . "$work/$1"
  make --no-print-directory -C "$work/$1" release VERSION="$version" IMAGE="$image"
}
release one
# Compiled anew, and not what the first one left in the cache.
GOCACHE=$work/cache release somewhere/else/two
diff -r "$work/one/.cache/dist" "$work/somewhere/else/two/.cache/dist"
(cd "$work/one/.cache/dist" && sha256sum --quiet --check checksums.txt)
echo 'release: byte for byte the same'
