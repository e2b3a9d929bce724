#!/usr/bin/env bash
# The units of examples/deploy under systemd itself, as the first process of namespaces of its own, where it finds our units and none of
# this machine's: deploy-systemd.sh PROGRAMS SCRATCH [KEYS]. With KEYS the links are tcp, with CURVE. Ends with 77 where no such
# namespaces can be made. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
programs=$1 scratch=$2 keys=${3:-}

cgroups=$(findmnt -n -o TARGET -t cgroup2 | head -1)
own=$cgroups/prime-deploy-$$
[ -n "$cgroups" ] && mkdir "$own" 2>/dev/null || { echo "no cgroup can be made"; exit 77; }
inside=
clean() {
    # With it ends all that is in its namespaces.
    [ -z "$inside" ] || kill -KILL "$inside" 2>/dev/null && wait "$inside" 2>/dev/null || true
    for _ in 1 2 3 4 5; do
        find "$own" -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.2
    done
}
trap clean EXIT
trap 'exit 1' INT TERM
unshare --mount --pid --fork --cgroup --uts --net true 2>/dev/null || { echo "no namespaces can be made"; exit 77; }

mkdir "$scratch/units" "$scratch/programs" "$scratch/logs"
cp examples/deploy/systemd/*.service examples/deploy/systemd/*.target "$scratch/units"
cp "$programs/prime_serverd" "$scratch/programs"
# Of systemd's own units those that ours name, without what they would pull in.
for target in basic sysinit shutdown network-online; do
    grep -v '^\(Wants\|Requires\|After\|Documentation\)=' "/lib/systemd/system/$target.target" > "$scratch/units/$target.target"
done
# There is no journal here.
sed -i 's|^Type=exec|&\nStandardError=append:/mnt/logs/%p-%i|' "$scratch"/units/prime-*.service
# Nothing on this machine is written to, so that files which are to be in /etc are in /run here.
sed -i 's|/etc/prime/|/run/etc-prime/|' "$scratch"/units/prime-*.service
mkdir "$scratch/etc-prime"
cp examples/deploy/systemd/prime.env "$scratch/etc-prime"
if [ -n "$keys" ]; then
    cp -r examples/deploy/systemd/curve/. "$scratch/units"
    cp -r "$keys" "$scratch/etc-prime/keys"
    sed -i 's|/etc/prime/|/run/etc-prime/|' "$scratch"/units/*.d/curve.conf
    # As prime.env says for several hosts. Both are at an address that is not of this machine alone.
    printf '%s=tcp://127.0.0.1:%s\n' parse 7001 is_prime 7002 > "$scratch/etc-prime/proxies"
    sed -i 's|^PRIME_DISCOVER=.*|PRIME_DISCOVER=file:/run/etc-prime/proxies|; s|^PRIME_BIND_parse=.*|PRIME_BIND_parse=tcp://*:7001|
        s|^PRIME_BIND_is_prime=.*|PRIME_BIND_is_prime=tcp://*:7002|' "$scratch/etc-prime/prime.env"
    # What is no secret is for all to read.
    chmod -R a+rX "$scratch/etc-prime"
    chmod 0600 "$scratch"/etc-prime/keys/*_secret
fi
wanted="prime-front@8002.service prime-proxy@parse.service prime-proxy@is_prime.service prime-worker@parse.service prime-worker@is_prime.service"
printf '[Unit]\nDefaultDependencies=no\nWants=prime.target %s\n' "$wanted" > "$scratch/units/lab.target"
cat > "$scratch/first" <<'FIRST'
set -e
ip link set lo up
mount --make-rprivate /
mount --bind "$1" /mnt
umount -l /sys/fs/cgroup
for folder in /usr/local/bin /etc/systemd/system /lib/systemd/system /lib/systemd/system-generators /var/lib/systemd /run /tmp /var/tmp; do
    mount -t tmpfs tmpfs "$folder"
done
cp -r /mnt/etc-prime /run
cp /mnt/programs/* /usr/local/bin
cp -r /mnt/units/* /etc/systemd/system
mount -o remount,ro,bind /
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# As systemd does where it is not in a container: a unit's credentials are a mount that is made elsewhere and has to come here.
mount --make-rshared /
export container=lab
exec /lib/systemd/systemd --system --unit=lab.target --log-target=console --show-status=no < /dev/null
FIRST
bash -c 'echo $$ > "$1/cgroup.procs" && exec unshare --fork --kill-child --mount --pid --uts --ipc --cgroup --net bash "$2/first" "$2"' \
    - "$own" "$scratch" > "$scratch/systemd.log" 2>&1 &
inside=$!

fail() {
    echo "$1"
    cat "$scratch/systemd.log" "$scratch"/logs/*
    exit 1
}
in_there() {
    timeout 60 nsenter --target "$(pgrep -P "$inside")" --mount --pid --uts --ipc --cgroup systemctl "$@"
}
in_its_network() {
    timeout 30 nsenter --target "$(pgrep -P "$inside")" --net "$@"
}
healthy() { # WITHIN_SECONDS
    for _ in $(seq $(($1 * 10))); do
        in_its_network examples/deploy/healthy 8002 2>/dev/null && return
        sleep 0.1
    done
    in_there status --no-pager 'prime*' || true
    fail "not healthy"
}
ask() { # NUMBER
    in_its_network curl --silent --max-time 20 "http://127.0.0.1:8002/is_prime?possible_prime=$1"
}

healthy 20
[ "$(ask 32416190071)" = true ] || fail "no answer"

# Every part but the front end is restarted while a client asks.
(for _ in $(seq 300); do echo "$(ask 32416190071)"; done | sort | uniq -c | sed 's/^ *//') > "$scratch/answers" &
client=$!
for unit in prime-proxy@parse prime-worker@is_prime prime-worker@parse prime-proxy@is_prime; do
    in_there restart "$unit" || fail "$unit does not restart"
    sleep 0.3
done
wait "$client"
[ "$(cat "$scratch/answers")" = "300 true" ] || fail "a restart lost requests: $(cat "$scratch/answers")"

in_there kill --signal KILL prime-worker@is_prime
sleep 1
[ "$(in_there show --property NRestarts prime-worker@is_prime)" = NRestarts=1 ] || fail "what was killed is not there again"

# The front end has its answer before the workers are stopped: this takes a second or two.
ask 1000000000000000003 > "$scratch/long" &
client=$!
sleep 0.3
in_there stop prime.target
wait "$client"
[ "$(cat "$scratch/long")" = true ] || fail "the stop cut off a request: $(cat "$scratch/long")"
for unit in $wanted; do
    # The end of the target is not waited for by whoever stops it.
    for _ in $(seq 100); do
        how=$(in_there show --property Result --property ActiveState "$unit" | sort | tr '\n' ' ')
        [[ $how = ActiveState=deactivating* ]] || break
        sleep 0.1
    done
    [ "$how" = "ActiveState=inactive Result=success " ] || fail "$unit: $how"
done
echo "it ran, restarted and stopped without losing a request"
