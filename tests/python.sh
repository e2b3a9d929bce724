#!/usr/bin/env bash
# Workers in Python at the proxies and front ends of this repository: tests/python/worker.py, and bad ones.
#
#     tests/python.sh [NAME...]      all tests, or those whose names contain NAME
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyzmq
cargo build --locked -p primes -p prime_server_tools
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
PYTHONDONTWRITEBYTECODE=1 TMPDIR=$folder "$folder/venv/bin/python" tests/python/test_worker.py "$target/debug" "$@"
