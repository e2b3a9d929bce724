#!/usr/bin/env bash
# Runs the README's main command for real and asks the server with curl, then lets it drain.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v curl >/dev/null || { echo "curl is missing: install it"; exit 1; }

cargo build --release --locked --bin prime_serverd
log=$(mktemp)
cargo run --release --locked --bin prime_serverd -- tcp://127.0.0.1:0 2>"$log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$log"' EXIT

for _ in $(seq 300); do
    address=$(sed -n 's|^listening on tcp://||p' "$log")
    [ -n "$address" ] && break
    kill -0 "$server" || { cat "$log"; exit 1; }
    sleep 0.1
done
[ -n "$address" ] || { echo "the server does not listen"; cat "$log"; exit 1; }

ask() { # WANTED_STATUS WANTED_BODY CURL_ARGUMENTS...
    local status=$1 body=$2 got
    shift 2
    got=$(curl --silent --show-error --max-time 20 --write-out ' %{http_code}' "$@")
    [ "$got" = "$body $status" ] || { echo "curl $*: wanted '$body $status', got '$got'"; exit 1; }
}

url="http://$address"
ask 200 true "$url/is_prime?possible_prime=32416190071"
ask 200 false "$url/is_prime?possible_prime=32416190073"
ask 200 true --data 7 "$url/is_prime"
ask 200 "ok
" "$url/healthz"
status=$(curl --silent --max-time 20 --output /dev/null --write-out '%{http_code}' "$url/is_prime?possible_prime=7abc")
[ "$status" = 400 ] || { echo "7abc was answered $status"; exit 1; }
metrics=$(curl --silent --max-time 20 "$url/metrics")
runs=$(sed -n '/stage="is_prime"/s/^prime_stage_run_seconds_count{.*} //p' <<<"$metrics")
[ "$runs" = 3 ] || { echo "the metrics count '$runs' primes, not 3"; exit 1; }

kill -TERM "$server"
wait "$server"
echo "prime_serverd answered, and drained"

cargo run --release --locked --bin prime_serverd -- 100000 | tee "$log"
grep -q '^9592 primes from 0 to 100000$' "$log"
