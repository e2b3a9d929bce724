#!/usr/bin/env bash
# Two hosts on one machine: network namespaces with a link between them, which is cut, and over which a worker finds its proxy by a
# beacon. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v ip >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q iproute2; }
cargo build --locked -p faults
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

near=prime-near-$$ far=prime-far-$$
clean() {
    ip netns delete "$near" 2>/dev/null || true
    ip netns delete "$far" 2>/dev/null || true
}
trap clean EXIT
ip netns add "$near"
ip netns add "$far"
ip link add near netns "$near" type veth peer name far netns "$far"
ip -n "$near" address add 10.77.0.1/24 broadcast 10.77.0.255 dev near
ip -n "$far" address add 10.77.0.2/24 broadcast 10.77.0.255 dev far
for host in "$near:near" "$far:far"; do
    ip -n "${host%:*}" link set lo up
    ip -n "${host%:*}" link set "${host#*:}" up
done
ip netns exec "$near" "$target/debug/faults" hosts \
    --namespace "$far" --near 10.77.0.1 --far 10.77.0.2 --interface near
