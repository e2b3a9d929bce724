#!/usr/bin/env bash
# Discovery against the real things: czmq's zbeacon, from Debian, and Pyre, from PyPI, on two hosts that are network namespaces.
# Needs root. `tests/discovery.py` has the checks.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for need in libczmq-dev pkg-config gcc iproute2 python3-venv; do
    dpkg-query -W -f='${Status}\n' "$need" 2>/dev/null | grep -q '^install ok installed' || missing+=("$need")
done
if [ "${#missing[@]}" -gt 0 ]; then
    timeout 600 apt-get update -q && DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -y -q "${missing[@]}"
fi

timeout 1800 cargo build --locked -p discovery_tests
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
tools="$target/discovery-tests"
mkdir -p "$tools"
gcc -Wall -Werror -o "$tools/czmq_peer" tests/discovery/peers/czmq_peer.c $(pkg-config --cflags --libs libczmq)
"$tools/venv/bin/python" -c 'import pyre' 2>/dev/null || {
    timeout 600 python3 -m venv "$tools/venv"
    timeout 600 "$tools/venv/bin/pip" install -q zeromq-pyre==0.3.4
}

here=prime-here-$$ there=prime-there-$$ alone=prime-alone-$$
clean() {
    for host in "$here" "$there" "$alone"; do
        # Nothing runs in these but what was started here.
        ip netns pids "$host" 2>/dev/null | xargs -r kill -9 || true
        ip netns del "$host" 2>/dev/null || true
        rm -rf "/etc/netns/$host"
    done
    rmdir --ignore-fail-on-non-empty /etc/netns 2>/dev/null || true
}
trap clean EXIT
trap 'exit 1' INT TERM

# What `ip netns exec` puts in the place of /etc/hosts.
mkdir -p "/etc/netns/$here"
echo '127.0.0.1 localhost' > "/etc/netns/$here/hosts"
for host in "$here" "$there" "$alone"; do
    ip netns add "$host"
done
# Two hosts with two networks; lan1 has the default route. `alone` has nothing, its loopback interface being down.
for lan in 1 2; do
    ip link add "lan$lan" netns "$here" type veth peer name "lan$lan" netns "$there"
    ip -n "$here" addr add "10.77.$lan.1/24" brd + dev "lan$lan"
    ip -n "$there" addr add "10.77.$lan.2/24" brd + dev "lan$lan"
    ip -n "$here" link set "lan$lan" up
    ip -n "$there" link set "lan$lan" up
done
for host in "$here" "$there"; do
    ip -n "$host" link set lo up
    ip -n "$host" route add default dev lan1
done

timeout 300 python3 tests/discovery.py "$target/debug/discovery" "$tools" "$here" "$there" "$alone"
