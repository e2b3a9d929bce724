#!/usr/bin/env bash
# Makes the keys for the links, once, in keys/ (not for the repository): kubernetes/keys.sh. It needs prime_keygen with CURVE, as the
# image has it:
#     docker run --rm -u "$(id -u)" -v "$PWD/keys:/keys" --entrypoint prime_keygen primes /keys/server.key
set -euo pipefail
umask 077
mkdir -p "${1:-$(dirname "$0")/keys}"
cd "${1:-$(dirname "$0")/keys}"
for who in server front worker; do
    [ -e "$who.key" ] || "${KEYGEN:-prime_keygen}" "$who.key"
done
# Whom proxies let in. Take a key out and apply again, and it cannot connect any more: proxies read this anew when it changes.
cat front.key worker.key > allowed
