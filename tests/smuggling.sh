#!/usr/bin/env bash
# The smuggling proof: nginx, from Debian, in front of a prime_server over kept connections.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v nginx >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q nginx-light; }
cargo build --locked -p http_tests --bin seen
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
python3 tests/smuggling.py "$(command -v nginx)" "$target/debug/seen"
