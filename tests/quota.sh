#!/usr/bin/env bash
# The tests of demotion in a control group that may have one processor's time, whatever there are: also then demoted jobs get on.
# As root, where the cpu controller can be used: of control groups of either version.
set -euo pipefail
cd "$(dirname "$0")/.."

test="$(cargo test -p rules --test demotion --no-run --locked 2>&1 | sed -n 's/^ *Executable .*(\(.*\))$/\1/p')"
[ -x "$test" ] || { echo "the test could not be built"; exit 1; }

name="prime-quota-$$"
if [ -d /sys/fs/cgroup/cpu ]; then
    group="/sys/fs/cgroup/cpu/$name"
    mkdir "$group"
    echo 100000 > "$group/cpu.cfs_period_us"
    echo 100000 > "$group/cpu.cfs_quota_us"
else
    echo +cpu > /sys/fs/cgroup/cgroup.subtree_control
    group="/sys/fs/cgroup/$name"
    mkdir "$group"
    echo "100000 100000" > "$group/cpu.max"
fi
trap 'rmdir "$group"' EXIT

timeout 300 sh -c 'echo $$ > "$1/cgroup.procs"; exec "$2"' in-group "$group" "$test"
throttled="$(sed -n 's/^nr_throttled //p' "$group/cpu.stat")"
echo "the quota was used up in $throttled periods"
[ "$throttled" -gt 0 ]
