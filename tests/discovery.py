"""The checks of discovery.sh: who hears whom, who is gone when. Each waits for what it names, at most `LONG` seconds."""

import contextlib
import pathlib
import queue
import re
import subprocess
import sys
import threading
import time

# More than any machine needs.
LONG = 20
# What a peer that is killed is missed after, and what it is taken to be missed by.
EXPIRY = 5
# Between two beacons.
INTERVAL = 1

DISCOVERY, TOOLS, HERE, THERE, ALONE = sys.argv[1:]
CZMQ = [f"{TOOLS}/czmq_peer"]
PYRE = [f"{TOOLS}/venv/bin/python", str(pathlib.Path(__file__).parent / "discovery/peers/pyre_peer.py")]
HERE_1, HERE_2, THERE_1 = "10.77.1.1", "10.77.2.1", "10.77.1.2"
HERE_ANY = "10.77.[12].1"
# Listens to one TCP connection at the port it prints, says who made it, and when it ends.
ACCEPT = """if True:
    import socket
    listener = socket.create_server(("", 0))
    print(listener.getsockname()[1], flush=True)
    connection, peer = listener.accept()
    print("from", peer[0], flush=True)
    try:
        while connection.recv(4096):
            pass
    except OSError:
        pass
    print("closed", flush=True)"""

# Hears, as `HOST HEX`, what is sent to the address in its argument and to no other: as any peer whose socket is bound to it, which
# czmq's is to 255.255.255.255 in versions later than Debian's.
HEAR_ONLY = """if True:
    import socket, sys
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((sys.argv[1], 5670))
    print("ready", flush=True)
    while True:
        data, peer = listener.recvfrom(255)
        print(peer[0], data.hex().upper(), flush=True)"""

passed, failed = [], []


def uuid(number):
    return f"{number:032x}"


def frame(number, port):
    return f"ZRE\x01".encode().hex().upper() + uuid(number).upper() + f"{port:04X}"


class Process:
    """A process on one of the hosts, and the lines that it prints."""

    def __init__(self, stack, host, *command, env=(), stderr=None):
        command = ["ip", "netns", "exec", host, "env", *env, *command]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, text=True)
        self.lines = queue.Queue()
        self.seen = []
        reader = threading.Thread(target=self.read, daemon=True)
        reader.start()
        stack.callback(self.kill)

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def expect(self, what, limit=LONG):
        """Waits for a line that is `what`, past others; returns the time at which it came."""
        until = time.monotonic() + limit
        while True:
            try:
                line = self.lines.get(timeout=max(0, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {what!r} within {limit} s, only {self.seen[-5:]}") from None
            self.seen.append(line)
            if re.fullmatch(what, line):
                return time.monotonic()

    def next(self, what, limit=LONG):
        """The next line is `what`."""
        before = len(self.seen)
        came = self.expect(what, limit)
        assert len(self.seen) == before + 1, f"{self.seen[before:-1]} before {what!r}"
        return came

    def end(self):
        """Its standard input ends, by which it ends itself."""
        self.process.stdin.close()
        assert self.process.wait(LONG) == 0, f"{self.process.args} failed"

    def kill(self):
        self.process.kill()
        self.process.wait()


def discover(stack, host, form, *own):
    return Process(stack, host, DISCOVERY, "discover", form, *own)


def announce(stack, host, number, port, *interface):
    return Process(stack, host, DISCOVERY, "announce", uuid(number), str(port), *interface)


def check(test):
    with contextlib.ExitStack() as stack:
        try:
            test(stack)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            failed.append(test)
            print(f"FAILED {test.__doc__}: {error}", flush=True)
        else:
            passed.append(test)
            print(f"ok     {test.__doc__}", flush=True)


def goes_by_leaving(watch, left):
    gone = watch.next("")
    assert gone - left < EXPIRY - 2 * INTERVAL, f"gone after {gone - left:.1f} s, which is no leaving but an expiry"


def goes_by_expiry(watch, killed):
    gone = watch.next("")
    assert EXPIRY - 1.5 * INTERVAL < gone - killed < EXPIRY + 2, f"gone after {gone - killed:.1f} s"


def all_hear_us(stack):
    """czmq, on one interface and on all, Pyre, others and our own hear us come and leave, all on one host"""
    czmq = Process(stack, THERE, *CZMQ, "hear")
    czmq_any = Process(stack, THERE, *CZMQ, "hear", env=["ZSYS_INTERFACE=*"])
    pyre = Process(stack, THERE, *PYRE, "hear")
    limited = Process(stack, THERE, "python3", "-c", HEAR_ONLY, "255.255.255.255")
    directed = Process(stack, THERE, "python3", "-c", HEAR_ONLY, "10.77.2.255")
    others = [czmq, czmq_any, pyre, limited, directed]
    for peer in others:
        peer.next("ready")
    ours = [discover(stack, THERE, form) for form in ["beacon:", "beacon:lan1", f"beacon:{THERE_1}"]]
    us = announce(stack, HERE, 1, 7001)
    for peer in others:
        for _ in range(6):
            peer.next(f"{HERE_ANY} {frame(1, 7001)}")
    ours[0].next(f"-=tcp://{HERE_ANY}:7001")
    for peer in ours[1:]:
        peer.next(f"-=tcp://{HERE_1}:7001")
    us.end()
    for peer in others:
        peer.expect(f"{HERE_ANY} {frame(1, 0)}")
    for peer in ours:
        peer.next("")


def a_pyre_node_comes(stack):
    """A Pyre node connects to the port that we announce, and leaves it when we leave"""
    router = Process(stack, HERE, "python3", "-c", ACCEPT)
    router.next("[0-9]+")
    port = int(router.seen[0])
    node = Process(stack, THERE, *PYRE, "node")
    node.next("ready")
    us = announce(stack, HERE, 2, port)
    router.next(f"from {THERE_1}")
    us.end()
    router.next("closed")


def we_hear(stack, command, env=()):
    watch = discover(stack, HERE, "beacon:")
    for end in [goes_by_leaving, goes_by_expiry]:
        peer = Process(stack, THERE, *command, env=env)
        watch.next(f"-=tcp://{THERE_1}:[1-9][0-9]*")
        # It is there for longer than it would be by its first beacon alone.
        with contextlib.suppress(queue.Empty):
            raise AssertionError(f"{watch.lines.get(timeout=EXPIRY + INTERVAL)!r} while the peer is there")
        before = time.monotonic()
        if end is goes_by_leaving:
            peer.process.stdin.close()
        else:
            peer.kill()
        end(watch, before)


def we_hear_czmq(stack):
    """We hear czmq come, leave, and be gone 5 s after it is killed"""
    we_hear(stack, [*CZMQ, "speak", frame(3, 7003), frame(3, 0)])


def we_hear_czmq_any(stack):
    """We hear czmq that sends to 255.255.255.255 the same"""
    we_hear(stack, [*CZMQ, "speak", frame(4, 7004), frame(4, 0)], ["ZSYS_INTERFACE=*"])


def we_hear_pyre(stack):
    """We hear a Pyre node the same"""
    we_hear(stack, [*PYRE, "node"])


def we_hear_ours(stack):
    """We hear our own the same"""
    we_hear(stack, [DISCOVERY, "announce", uuid(5), "7005", "lan1"])


def not_ourselves(stack):
    """The beacon of the UUID that is ours is not heard, and another of the same host is"""
    ours = discover(stack, HERE, "beacon:", uuid(6))
    other = discover(stack, HERE, "beacon:")
    announce(stack, HERE, 6, 7006, "lan1")
    other.next(f"-=tcp://{HERE_1}:7006")
    announce(stack, HERE, 7, 7007, "lan1")
    other.next(f"-=tcp://{HERE_1}:7006 -=tcp://{HERE_1}:7007")
    ours.next(f"-=tcp://{HERE_1}:7007")


def one_interface(stack):
    """With an interface named, nothing leaves by another, and nothing is heard on another"""
    first = discover(stack, THERE, "beacon:lan1")
    second = discover(stack, THERE, "beacon:lan2")
    on_second = announce(stack, HERE, 8, 7008, HERE_2)
    second.next(f"-=tcp://{HERE_2}:7008")
    announce(stack, HERE, 9, 7009, "lan1")
    first.next(f"-=tcp://{HERE_1}:7009")
    on_second.end()
    second.next("")


def a_host_alone(stack):
    """A host whose only interface is loopback, and that comes late, finds its own"""
    us = Process(stack, ALONE, DISCOVERY, "announce", uuid(10), "7010", stderr=subprocess.STDOUT)
    us.next(".*no interface with broadcasts over IPv4 is up.*")
    subprocess.run(["ip", "-n", ALONE, "link", "set", "lo", "up"], check=True)
    watch = discover(stack, ALONE, "beacon:")
    watch.next("-=tcp://127.0.0.1:7010")


def names(stack):
    """A name is looked up by the system, and its new addresses are seen"""
    hosts = pathlib.Path(f"/etc/netns/{HERE}/hosts")
    watch = discover(stack, HERE, "dns:parse=tcp://proxies.test:7011")
    hosts.write_text("127.0.0.1 localhost\n10.77.1.9 proxies.test\n")
    watch.next("parse=tcp://10.77.1.9:7011")
    hosts.write_text("127.0.0.1 localhost\n10.77.1.8 proxies.test\n")
    watch.next("parse=tcp://10.77.1.8:7011")


for test in [
    all_hear_us,
    a_pyre_node_comes,
    we_hear_czmq,
    we_hear_czmq_any,
    we_hear_pyre,
    we_hear_ours,
    not_ourselves,
    one_interface,
    a_host_alone,
    names,
]:
    check(test)
print(f"{len(passed)} passed, {len(failed)} failed")
sys.exit(bool(failed))
