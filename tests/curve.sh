#!/usr/bin/env bash
# CURVE on the links between processes, with the system's libzmq (Debian's libzmq3-dev), since the one that the `zmq` crate builds
# has none. It is linked by cargo's override of a build script, which a user's .cargo/config.toml has too: docs/processes.md.
set -euo pipefail
cd "$(dirname "$0")/.."

library=$(gcc -print-file-name=libzmq.so)
[ "$library" != libzmq.so ] || {
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q libzmq3-dev
    library=$(gcc -print-file-name=libzmq.so)
}
host=$(rustc -vV | sed -n 's/^host: //p')
# A folder of its own, as all that uses libzmq is built once more.
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/system-libzmq
export CARGO_TARGET_DIR=$target
linked=(--config "target.$host.zmq.rustc-link-lib=[\"zmq\"]" --config "target.$host.zmq.rustc-link-search=[\"$(dirname "$(realpath "$library")")\"]")
cargo build --locked "${linked[@]}" -p prime_server_tools --bin prime_keygen
KEYGEN=$target/debug/prime_keygen cargo test --locked "${linked[@]}" -p processes --test curve -- --ignored
