#!/usr/bin/env bash
# What examples/deploy says: the units by systemd-analyze, Compose file and manifests by their schemas, the Dockerfile by its parser, and
# all command lines that are in them by the real programs, with CURVE where they say so. `tests/deploy.py` has the checks.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for need in systemd python3-venv libzmq3-dev curl iproute2 procps util-linux; do
    dpkg-query -W -f='${Status}\n' "$need" 2>/dev/null | grep -q '^install ok installed' || missing+=("$need")
done
if [ "${#missing[@]}" -gt 0 ]; then
    timeout 600 apt-get update -q && DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -y -q "${missing[@]}"
fi

# As tests/curve.sh: a folder of its own, as all that uses libzmq is built once more.
host=$(rustc -vV | sed -n 's/^host: //p')
library=$(dirname "$(realpath "$(gcc -print-file-name=libzmq.so)")")
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
export CARGO_TARGET_DIR=$target/system-libzmq
timeout 1800 cargo build --locked -p primes -p prime_server_tools \
    --config "target.$host.zmq.rustc-link-lib=[\"zmq\"]" --config "target.$host.zmq.rustc-link-search=[\"$library\"]"

tools=$target/deploy-tests
mkdir -p "$tools"
"$tools/venv/bin/python" -c 'import kubernetes_validate, check_jsonschema, dockerfile, promql_parser' 2>/dev/null || {
    timeout 600 python3 -m venv "$tools/venv"
    timeout 600 "$tools/venv/bin/pip" install -q kubernetes-validate==1.37.0 check-jsonschema==0.39.0 dockerfile==3.4.0 promql-parser==0.11.0
}
# KEDA's schema is on npm alone. Without npm that check is skipped, and says so.
if command -v npm >/dev/null && [ ! -d "$tools/node_modules/@kubernetes-models/keda" ]; then
    timeout 300 npm install --prefix "$tools" --silent --no-audit --no-fund --ignore-scripts @kubernetes-models/keda@2.0.0
fi

scratch=$(mktemp -d)
checks=
clean() {
    # It ends what it has started.
    [ -z "$checks" ] || kill "$checks" 2>/dev/null && wait "$checks" 2>/dev/null || true
    rm -rf "$scratch"
}
trap clean EXIT
trap 'exit 1' INT TERM
timeout 300 "$tools/venv/bin/python" tests/deploy.py "$CARGO_TARGET_DIR/debug" "$tools" "$scratch" &
checks=$!
status=0
wait "$checks" || status=$?
checks=
exit "$status"
