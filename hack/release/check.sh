#!/usr/bin/env bash
# Makes the release of version $1 with IMAGE ($2) from two clean clones of HEAD in different places, and compares the bytes.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The second is deeper, and has neither the first one's build cache nor its file times.
for clone in one somewhere/else/two; do
  git clone --quiet --no-local . "$work/$clone"
  GOCACHE=$work/cache-$(basename "$clone") SEAM_OPERATOR_CACHE=${SEAM_OPERATOR_CACHE:-$PWD/.cache} \
    make --no-print-directory -C "$work/$clone" release VERSION="$1" IMAGE="$2"
done
diff -r "$work/one/.cache/dist" "$work/somewhere/else/two/.cache/dist"
(cd "$work/one/.cache/dist" && sha256sum --quiet --check checksums.txt)
echo 'release: byte for byte the same'
