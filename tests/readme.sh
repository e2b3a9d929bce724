#!/usr/bin/env bash
# Runs the README's main commands for real, as one process and as several, asks them with curl, and lets them drain.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v curl >/dev/null || { echo "curl is missing: install it"; exit 1; }

cargo build --release --locked --bin prime_serverd
log=$(mktemp)
cargo run --release --locked --bin prime_serverd -- tcp://127.0.0.1:0 2>"$log" &
server=$!
folder=$(mktemp -d)
processes=()
trap 'kill "$server" "${processes[@]}" 2>/dev/null || true; rm -rf "$log" "$folder"' EXIT

listens() { # LOG PROCESS: sets `address` once the process says where it listens
    for _ in $(seq 300); do
        address=$(sed -n 's|^listening on tcp://||p' "$1")
        [ -n "$address" ] && return
        kill -0 "$2" || { cat "$1"; exit 1; }
        sleep 0.1
    done
    echo "the server does not listen"
    cat "$1"
    exit 1
}
listens "$log" "$server"

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

# The README's block, on a free port and with a folder of our own; its processes may start in any order.
block=$(sed -n '/^## As processes/,/^## /p' README.md | sed -n '/^```sh/,/^```/p' | sed '1d;$d')
grep -q workerd <<<"$block" || { echo "the README has no processes to start"; exit 1; }
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
number=0
while read -r line; do
    line=${line//\/tmp\//$folder/}
    line=${line//127.0.0.1:8002/127.0.0.1:0}
    case $line in
    D=*) D=${line#D=} ;;
    prime_serverd*)
        line=${line%&}
        number=$((number + 1))
        # shellcheck disable=SC2086
        "$target/release/"${line//\$D/$D} 2>"$folder/$number.log" &
        processes+=($!)
        ;;
    esac
done <<<"$block"
[ "$number" = 5 ] || { echo "the README starts $number processes, not 5"; exit 1; }
listens "$folder/1.log" "${processes[0]}"
ask 200 true "http://$address/is_prime?possible_prime=32416190071"
for process in "${processes[@]}"; do
    kill -TERM "$process"
    wait "$process"
done
echo "five processes answered, and drained"
