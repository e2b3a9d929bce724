#!/usr/bin/env python3
"""The link protocol from the other side: prime_httpd and prime_proxyd with workers in Python, good ones and bad ones.

    test_worker.py PROGRAMS [NAME...]               runs the tests, or those whose names contain NAME; tests/python.sh builds it all
    test_worker.py stage STAGE [OPTION=JSON...] ENDPOINT...     a worker of the tests' stages
"""

import contextlib
import http.client
import json
import os
import pathlib
import queue
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import zmq

import worker
from worker import ANNOUNCE, BEAT, BYE, CANCEL, HELLO, JOB, OUTCOME, REFUSED, RETRIED, RETURN, STATUS, WELCOME, WHO, WINDOW
from worker import answer, data, forward, head, join, number, split

LIVENESS = 1.0
WAIT = 20  # the longest that anything is waited for

# The stages of the workers that the tests start, in their own processes. They print what they do.

gate = threading.Semaphore(0)
counted = 0


def first(task):
    global counted
    path, _, query = task.target.partition("?")
    what = path.split("/")[1]
    if what == "show":
        seen = {name: getattr(task, name) for name in ("method", "target", "headers", "params", "attempt", "hops", "http_10")}
        return answer(
            json.dumps({**seen, "body": task.body.decode()}), 201, [("x-seen", query), ("set-cookie", "a"), ("set-cookie", "b")]
        )
    if what == "compute":
        until, n = time.monotonic() + float(query), 0
        while time.monotonic() < until:
            n += 1
        return answer(f"attempt {task.attempt}")
    if what == "hold":
        sys.stdout.write(f"holds {task.attempt}\n")
        cancelled = task.cancelled.wait(float(query or WAIT))
        sys.stdout.write("cancelled\n" if cancelled else "held\n")
        return answer(f"held {os.getpid()}")
    if what == "double":
        return answer(task.body * 2)
    if what in ("pid", "good"):
        return answer(str(os.getpid()))
    if what == "next":
        gate.release()
        return answer(b"")
    if what == "stream":
        return stream()
    if what == "flood":
        return flood(int(query))
    if what == "counted":
        return answer(str(counted))
    if what == "fail":
        raise ValueError("as asked")
    if what == "split":
        return split("part", [b"%d" % i for i in range(int(query))])
    return forward("second", f"{what}?{query} ".encode())


def stream():
    yield head(200, [("content-type", "text/plain")])
    for i in range(4):
        if not gate.acquire(timeout=WAIT):
            raise ValueError("nobody asked for more")
        yield b"piece %d\n" % i


def flood(pieces):
    global counted
    yield head()
    for counted in range(1, pieces + 1):
        yield bytes(65536)


def second(task):
    return answer(task.message + f"{task.hops} {task.method} {task.target}".encode())


def part(task):
    sys.stdout.write(f"part {task.message} {task.part}\n")
    if "hold" in task.target:
        task.cancelled.wait(WAIT)
    return join("whole", task.message * 2)


def whole(task):
    parts, at = [], 0
    while at < len(task.message):
        length = int.from_bytes(task.message[at : at + 4], "little")
        parts.append(task.message[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return answer(" ".join(parts))


def parse(task):
    _, _, n = task.target.partition("possible_prime=")
    return forward("is_prime", number(int(n))) if n.isdecimal() else answer("not a number\n", 400)


def stage(name, *arguments):
    options = dict(argument.split("=", 1) for argument in arguments if re.match(r"\w+=", argument))
    endpoints = [argument for argument in arguments if not re.match(r"\w+=", argument)]
    sys.stdout.reconfigure(line_buffering=True)
    options = {option: json.loads(value) for option, value in options.items()}
    worker.Worker(name, globals()[name], endpoints, **{"liveness": LIVENESS, **options}).serve()


# What the tests are made with.


class Program:
    """A process, and what it prints."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.lines, self.news, self.reading = [], threading.Condition(), threading.Event()
        self.reading.set()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        with self.process.stdout as output:
            for line in output:
                self.reading.wait()
                with self.news:
                    self.lines.append(line.rstrip())
                    self.news.notify_all()
        with self.news:
            self.lines.append("(the output has ended)")
            self.news.notify_all()

    def find(self, pattern):
        return [found for line in self.lines if (found := re.search(pattern, line))]

    def wait_for(self, pattern, count=1, wait=WAIT):
        with self.news:
            self.news.wait_for(lambda: len(self.find(pattern)) >= count or self.lines[-1:] == ["(the output has ended)"], wait)
            if len(self.find(pattern)) < count:
                raise AssertionError(f"{self.process.args[:3]} did not print `{pattern}`, but: {self.lines[-20:]}")
            return self.find(pattern)[count - 1]

    def end(self, which=signal.SIGTERM):
        """Its exit status."""
        self.process.send_signal(which)
        return self.process.wait(WAIT)

    def memory(self):
        """The most that it ever had, in MB."""
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) // 1024

    def kill(self):
        self.reading.set()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self.reader.join()


class Cell:
    """The processes of one test, which end with it."""

    def __init__(self, programs):
        self.programs, self.folder, self.started, self.peers = programs, tempfile.mkdtemp(prefix="prime"), [], []

    def program(self, *command):
        self.started.append(Program(*command))
        return self.started[-1]

    def proxy(self, stage="first", *options, bind=None):
        """The proxy, and its endpoint."""
        bind = bind or f"ipc://{self.folder}/{stage}{len(self.started)}"
        proxy = self.program(f"{self.programs}/prime_proxyd", stage, "--bind", bind, "--liveness", f"{LIVENESS}s", *options)
        return proxy, proxy.wait_for(r"listening on (\S+)")[1]

    def front(self, discover, *options):
        """The front end. `self.address` is where it listens."""
        command = [f"{self.programs}/prime_httpd", "--listen", "tcp://127.0.0.1:0", "--discover", f"fixed:{discover}"]
        front = self.program(*command, "--liveness", f"{LIVENESS}s", *(options or ("--entry", "first")))
        self.address = front.wait_for(r"listening on tcp://(\S+)")[1]
        return front

    def worker(self, *arguments, welcomes=1):
        started = self.program(sys.executable, __file__, "stage", *arguments)
        started.wait_for("welcomed by", welcomes)
        return started

    def peer(self, *arguments, **options):
        self.peers.append(Peer(*arguments, **options))
        return self.peers[-1]

    def simple(self, *front_options, proxy_options=(), **worker_options):
        """A front end, a proxy of stage `first`, and a worker of it."""
        proxy, endpoint = self.proxy("first", *proxy_options)
        front = self.front(f"first={endpoint}", *front_options)
        return front, proxy, endpoint, self.worker("first", *(f"{k}={json.dumps(v)}" for k, v in worker_options.items()), endpoint)

    def ask(self, target, method="GET", body=None, headers=None):
        with contextlib.closing(http.client.HTTPConnection(self.address, timeout=WAIT)) as client:
            client.request(method, target, body, headers or {})
            response = client.getresponse()
            return response.status, response.getheaders(), response.read().decode()

    def asking(self, target):
        """Asks in a thread of its own; the answer is in `.answer` once it is joined."""

        def ask():
            thread.answer = self.ask(target)

        thread = threading.Thread(target=ask)
        thread.answer = None
        thread.start()
        return thread

    def end(self):
        for peer in self.peers:
            peer.close()
        for program in self.started:
            program.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def greeting(stage="first", role=1, version=1, message=None, slots=4, limit=100, peer=None, liveness=LIVENESS, idempotent=False):
    says = b"\1" + number(slots) + number(limit) + b"\0" + bytes([idempotent, False]) + b"\0\0" if role == 1 else b"\0"
    message = b"\1" + data(message[0]) + number(message[1]) if message else b"\0"
    start = number(HELLO) + b"PRIME" + bytes([version]) + number(int(liveness * 1000)) + (peer or os.urandom(16))
    return start + data("a raw peer") + number(role) + data(stage) + message + says


class Peer:
    """A DEALER at a proxy that says whatever a test likes. It beats in a thread of its own, and as a worker runs `run(task)`,
    which returns what it sends for a JOB: a list of results, each with whether it ends the job."""

    context = zmq.Context()

    def __init__(self, endpoint, hello=None, run=None, beats=True):
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect(endpoint)
        self.run, self.beats, self.got, self.news, self.closed = run, beats, [], threading.Condition(), False
        self.to_send, (self.bell, self.ring) = queue.SimpleQueue(), socket.socketpair()
        if hello is not None:
            self.send(hello)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        if hello is not None and beats:
            self.wait_for(WELCOME, REFUSED, WHO)

    def send(self, *frames):
        self.to_send.put(frames)
        self.ring.send(b"!")

    def sent(self):
        """Waits until the socket has all that it is to send."""
        wait_until("all is sent", self.to_send.empty)

    def serve(self):
        poller, beat_at = zmq.Poller(), time.monotonic() + LIVENESS / 6
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self.bell, zmq.POLLIN)
        while not self.closed:
            if self.beats and time.monotonic() >= beat_at:
                self.socket.send(number(BEAT))
                beat_at = time.monotonic() + LIVENESS / 6
            ready = dict(poller.poll(1000 * LIVENESS / 6))
            if self.bell.fileno() in ready and self.bell.recv(1) and not self.to_send.empty():
                self.socket.send_multipart(self.to_send.get())
            for frame in self.socket.recv_multipart() if self.socket in ready else []:
                if frame[0] == JOB and self.run:
                    job = worker.Task(self, *worker.Reader(frame[1:]).read(worker.FIELDS[JOB]))
                    outcome = number(OUTCOME) + number(job.job) + 2 * number(0)
                    outcomes = [outcome + bytes([ends]) + data(result) for ends, result in self.run(job.written)]
                    self.socket.send_multipart(outcomes)
                if frame[0] == WHO and self.run:
                    self.socket.send(greeting())
                if frame[0] != BEAT:
                    with self.news:
                        self.got.append(frame)
                        self.news.notify_all()

    def wait_for(self, *commands, count=1):
        """The last of `count` frames of these commands, without the number."""

        def found():
            return [frame[1:] for frame in self.got if frame[0] in commands][count - 1 : count]

        with self.news:
            if not self.news.wait_for(found, WAIT):
                raise AssertionError(f"a peer was not sent {commands}, but {self.got[-5:]}")
            return found()[0]

    def close(self):
        if not self.closed:
            self.closed = True
            self.ring.send(b"!")
            self.thread.join()
            self.socket.close(linger=0)
            self.bell.close(), self.ring.close()


def wait_until(what, happened):
    until = time.monotonic() + WAIT
    while not (result := happened()):
        assert time.monotonic() < until, f"never happened: {what}"
        time.sleep(0.02)
    return result


def equal(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


tests = []


def test(function):
    tests.append(function)
    return function


# Good workers.


@test
def an_answer_and_a_request_are_what_they_were(cell):
    _, endpoint = cell.proxy()
    cell.front(
        f"first={endpoint}", "--route", "GET /show/{name}=first", "--route", "POST /show/{name}=first", "--metrics", "/metrics"
    )
    cell.worker("first", endpoint)
    status, headers, body = cell.ask("/show/a%20b?x=1&y=%C3%A9", "POST", "the body \u00e9".encode(), {"X-One": " 1 ", "X-Two": "2"})
    equal(status, 201)
    headers = [(name, value) for name, value in headers if name != "date"]
    wanted = [("x-seen", "x=1&y=%C3%A9"), ("set-cookie", "a"), ("set-cookie", "b"), ("content-length", str(len(body.encode())))]
    equal(headers, wanted)
    seen = json.loads(body)
    equal((seen["method"], seen["target"], seen["params"]), ("POST", "/show/a%20b?x=1&y=%C3%A9", {"name": "a b"}))
    equal((seen["body"], seen["attempt"], seen["hops"], seen["http_10"]), ("the body \u00e9", 1, 0, 0))
    assert ["x-one", "1"] in seen["headers"] and ["x-two", "2"] in seen["headers"], seen["headers"]
    equal(cell.ask("/elsewhere")[0], 404)
    assert 'prime_answers_total{code="201"' in cell.ask("/metrics")[2]


@test
def what_is_large_comes_in_fragments_both_ways(cell):
    cell.simple()
    body = "".join(random.Random(1).choices("abcdefgh", k=2_000_000))
    status, _, answered = cell.ask("/double", "POST", body.encode())
    equal((status, answered == body * 2), (200, True))


@test
def a_stage_that_raises_is_answered_500(cell):
    *_, its_worker = cell.simple()
    equal(cell.ask("/fail")[0], 500)
    equal(cell.ask("/pid")[2], str(its_worker.process.pid))


@test
def two_hundred_at_once_are_answered_once_each(cell):
    *_, its_worker = cell.simple("--entry", "first", "--metrics", "/metrics")
    asked = [cell.asking(f"/show/{i}?{i}") for i in range(200)]
    for i, thread in enumerate(asked):
        thread.join()
        status, headers, body = thread.answer
        equal((status, dict(headers)["x-seen"], json.loads(body)["target"]), (201, str(i), f"/show/{i}?{i}"))
    assert re.search(r'prime_answers_total\{code="201",[^}]*\} 200\b', cell.ask("/metrics")[2])
    equal(its_worker.find("silent|does not know"), [])


@test
def a_worker_that_computes_for_three_times_the_liveness_lives(cell):
    _, proxy, _, its_worker = cell.simple()
    asked = [cell.asking(f"/compute?{3 * LIVENESS}") for _ in range(4)]
    for thread in asked:
        thread.join()
        equal((thread.answer[0], thread.answer[2]), (200, "attempt 1"))
    equal(proxy.find("a link is lost") + its_worker.find("silent|does not know"), [])


@test
def a_worker_that_is_killed_with_a_job_is_answered_502(cell):
    *_, its_worker = cell.simple()
    asked = cell.asking("/hold")
    its_worker.wait_for("holds 1")
    its_worker.end(signal.SIGKILL)
    asked.join()
    equal(asked.answer[0], 502)


@test
def a_worker_that_is_killed_with_a_job_of_an_idempotent_stage_is_replaced(cell):
    *_, endpoint, one = cell.simple(idempotent=True)
    asked = cell.asking(f"/hold?{LIVENESS}")
    one.wait_for("holds 1")
    other = cell.worker("first", "idempotent=true", endpoint)
    one.end(signal.SIGKILL)
    asked.join()
    equal((asked.answer[0], asked.answer[2]), (200, f"held {other.process.pid}"))
    other.wait_for("holds 2")


@test
def a_client_that_disconnects_cancels_its_job(cell):
    *_, its_worker = cell.simple()
    host, port = cell.address.split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        its_worker.wait_for("holds 1")
    its_worker.wait_for("cancelled")
    equal(cell.ask("/pid")[0], 200)


@test
def another_message_and_another_stage_are_refused(cell):
    _, endpoint = cell.proxy()
    cell.worker("first", 'message=["Number", 7]', endpoint)
    other = cell.program(sys.executable, __file__, "stage", "first", 'message=["Text", 8]', endpoint)
    why = other.wait_for("refused: (.*)")[1]
    for named in (f"python {other.process.pid}", "proxy of first", "Number", "0x7", "Text", "0x8"):
        assert named in why, f"{named} is not in: {why}"
    other = cell.program(sys.executable, __file__, "stage", "second", endpoint)
    why = other.wait_for("refused: (.*)")[1]
    assert all(named in why for named in (f"python {other.process.pid}", "proxy of first", "`second`")), why


@test
def one_stage_forwards_to_another(cell):
    _, endpoint = cell.proxy("first")
    _, onwards = cell.proxy("second")
    cell.front(f"first={endpoint},second={onwards}")
    cell.worker("first", endpoint)
    cell.worker("second", onwards)
    equal(cell.ask("/on?a=1")[2], "on?a=1 1 GET /on?a=1")


@test
def a_split_request_is_joined_in_order(cell):
    endpoints = {name: cell.proxy(name)[1] for name in ("first", "part", "whole")}
    cell.front(",".join(f"{name}={endpoint}" for name, endpoint in endpoints.items()))
    for name, endpoint in endpoints.items():
        cell.worker(name, endpoint)
    equal(cell.ask("/split?50")[2], " ".join(f"{i}{i}" for i in range(50)))


@test
def a_streamed_answer_arrives_piece_by_piece(cell):
    cell.simple()
    with contextlib.closing(http.client.HTTPConnection(cell.address, timeout=WAIT)) as client:
        client.request("GET", "/stream")
        response = client.getresponse()  # the head, before there is any piece
        equal((response.status, response.getheader("content-type")), (200, "text/plain"))
        for i in range(4):
            equal(cell.ask("/next")[0], 200)  # only now the stage goes on
            equal(response.readline(), b"piece %d\n" % i)
        equal(response.read(), b"")


@test
def a_client_that_reads_slowly_holds_the_stage_up(cell):
    cell.simple()
    pieces, host, port = 320, *cell.address.split(":")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect((host, int(port)))
        client.sendall(f"GET /flood?{pieces} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        seen = [-1]

        def it_waits():
            seen.append(int(cell.ask("/counted")[2]))
            return seen[-1] and len(seen) > 15 and len(set(seen[-15:])) == 1

        wait_until("the stage waits", it_waits)
        assert seen[-1] < pieces / 4, f"{seen[-1]} of {pieces} pieces were sent to a client that takes none"
        client.settimeout(WAIT)
        got = sum(map(len, iter(lambda: client.recv(1 << 20), b"")))
    assert got > pieces * 65536, got


@test
def a_stage_in_rust_takes_what_python_forwards(cell):
    proxy, endpoint = cell.proxy("parse")
    _, onwards = cell.proxy("is_prime")
    cell.front(f"parse={endpoint},is_prime={onwards}", "--entry", "parse")
    cell.worker("parse", endpoint)
    rust = cell.program(
        f"{cell.programs}/prime_serverd", "workerd", "is_prime", "--discover", f"fixed:is_prime={onwards}", "--liveness", f"{LIVENESS}s"
    )
    rust.wait_for("ready")
    for n, prime in [(2, "true"), (32416190071, "true"), (32416190073, "false"), (2**64 - 1, "false")]:
        equal(cell.ask(f"/is_prime?possible_prime={n}")[::2], (200, prime))
    equal(cell.ask("/is_prime?possible_prime=7abc")[0], 400)
    equal(cell.ask(f"/is_prime?possible_prime={2**64}")[0], 500)  # the stage takes no such number


@test
def a_worker_that_was_stopped_is_back_and_its_late_outcome_is_dropped(cell):
    front, proxy, endpoint, one = cell.simple(idempotent=True, slots=1)
    asked = cell.asking("/hold?1")
    one.wait_for("holds 1")
    one.process.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    proxy.wait_for(f"a link is lost.*python {one.process.pid}")
    other = cell.worker("first", "idempotent=true", endpoint)
    asked.join()
    equal((asked.answer[0], asked.answer[2]), (200, f"held {other.process.pid}"))
    other.wait_for("holds 2")
    time.sleep(max(0, stopped + 2 - time.monotonic()))  # the time for which it is stopped, no wait for anything
    one.process.send_signal(signal.SIGCONT)
    one.wait_for("welcomed", 2)
    one.wait_for("held|cancelled")
    equal(other.end(), 0)
    for _ in range(20):
        equal(cell.ask("/pid")[2], str(one.process.pid))


@test
def a_late_outcome_on_a_lost_link_is_answered_who(cell):
    _, endpoint = cell.proxy()
    cell.front(f"first={endpoint}")
    late = cell.peer(endpoint, greeting())
    asked = cell.asking("/a")
    job = worker.Reader(late.wait_for(JOB)).number()
    late.beats = False
    asked.join()
    equal(asked.answer[0], 502)
    cell.worker("first", endpoint)
    late.got.clear()
    late.send(number(OUTCOME) + number(job) + b"\0\0\1" + data(answer("late")))
    late.wait_for(WHO)
    equal(cell.ask("/pid")[0], 200)


@test
def a_worker_that_drains_ends_what_it_has_and_takes_no_more(cell):
    *_, endpoint, one = cell.simple(slots=2)
    held = [cell.asking(f"/hold?{2 * LIVENESS}") for _ in range(2)]
    one.wait_for("holds", 2)
    other = cell.worker("first", endpoint)
    one.process.send_signal(signal.SIGTERM)
    asked = [cell.asking("/pid") for _ in range(50)]
    for thread in asked:
        thread.join()
        equal((thread.answer[0], thread.answer[2]), (200, str(other.process.pid)))
    for thread in held:
        thread.join()
        equal((thread.answer[0], thread.answer[2]), (200, f"held {one.process.pid}"))
    equal(one.process.wait(WAIT), 0)


@test
def workers_come_and_go_under_load_and_no_request_fails(cell):
    *_, endpoint, one = cell.simple()
    failed, answers, done = [], [], threading.Event()

    def load():
        with contextlib.closing(http.client.HTTPConnection(cell.address, timeout=WAIT)) as client:
            while not done.is_set():
                client.request("GET", "/pid")
                response = client.getresponse()
                body = response.read()
                (answers if response.status == 200 else failed).append(body)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        other = cell.worker("first", endpoint)
        wait_until("the new worker answers", lambda: str(other.process.pid).encode() in answers)
        equal(one.end(), 0)
        one = other
    done.set()
    for thread in threads:
        thread.join()
    equal(failed, [])


@test
def a_worker_of_two_proxies_takes_no_more_than_it_has_threads_for(cell):
    (one, one_at), (_, other_at) = cell.proxy(), cell.proxy()
    cell.front(f"first={one_at},first={other_at}")
    its_worker = cell.worker("first", "slots=2", one_at, other_at, welcomes=2)
    asked = [cell.asking("/compute?0.01") for _ in range(100)]
    for thread in asked:
        thread.join()
        equal((thread.answer[0], thread.answer[2]), (200, "attempt 1"))
    one.end(signal.SIGKILL)
    its_worker.wait_for("silent|does not know")
    for _ in range(20):
        equal(cell.ask("/pid")[2], str(its_worker.process.pid))


@test
def a_proxy_that_drains_lets_its_jobs_end(cell):
    (one, one_at), (_, other_at) = cell.proxy(), cell.proxy()
    cell.front(f"first={one_at}")
    its_worker = cell.worker("first", one_at, other_at, welcomes=2)
    held = cell.asking(f"/hold?{2 * LIVENESS}")
    its_worker.wait_for("holds 1")
    equal(one.end(), 0)
    held.join()
    equal((held.answer[0], held.answer[2]), (200, f"held {its_worker.process.pid}"))
    cell.front(f"first={other_at}")
    equal(cell.ask("/pid")[2], str(its_worker.process.pid))


@test
def a_proxy_that_comes_back_is_found_again(cell):
    _, proxy, endpoint, its_worker = cell.simple(proxy_options=("--wait", "20s"))
    proxy.end(signal.SIGKILL)
    its_worker.wait_for("silent")
    asked = cell.asking("/pid")
    cell.proxy("first", "--wait", "20s", bind=endpoint)
    its_worker.wait_for("welcomed", 2)
    asked.join()
    equal((asked.answer[0], asked.answer[2]), (200, str(its_worker.process.pid)))


@test
def a_proxy_that_is_lost_with_the_parts_of_a_split_costs_that_request_only(cell):
    endpoints = {name: cell.proxy(name)[1] for name in ("first", "whole")}
    proxy, endpoints["part"] = cell.proxy("part")
    front = cell.front(",".join(f"{name}={endpoint}" for name, endpoint in endpoints.items()))
    workers = {name: cell.worker(name, endpoint) for name, endpoint in endpoints.items()}
    asked = cell.asking("/split/hold?4")
    workers["part"].wait_for("^part", 4)
    proxy.end(signal.SIGKILL)
    asked.join()
    equal(asked.answer[0], 502)
    equal(cell.ask("/pid")[2], str(workers["first"].process.pid))
    equal(front.find("panicked"), [])


# Bad workers, bad front ends, and a bad proxy.


def responses(address, *targets, wait=WAIT):
    """Asks for all in one go, and reads the answers strictly: (status, headers, body), and None for one that is cut short."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=wait) as client:
        for i, target in enumerate(targets, 1):
            last = "Connection: close\r\n" if i == len(targets) else ""
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n{last}\r\n".encode())
        got = b""
        with contextlib.suppress(ConnectionResetError):
            got = b"".join(iter(lambda: client.recv(1 << 20), b""))
    read = []
    while got:
        start, separator, rest = got.partition(b"\r\n\r\n")
        line, *lines = start.split(b"\r\n")
        assert separator and re.fullmatch(rb"HTTP/1\.1 [1-9]\d\d [ -~]*", line), got[:300]
        for header in lines:
            assert re.fullmatch(rb"[!#-'*+.0-9A-Z^-z|~-]+: [\t -~\x80-\xff]*", header), header[:300]
        headers = [tuple(header.decode("latin-1").split(": ", 1)) for header in lines]
        status, named = int(line[9:12]), [name for name, _ in headers]
        length, chunked = named.count("content-length"), named.count("transfer-encoding")
        assert length + chunked == (status not in (204, 304)), headers[:20]
        if chunked:
            body, rest = chunks(rest)
            if body is None:
                return [*read, None]
        else:
            length = int(dict(headers).get("content-length", 0))
            body, rest = rest[:length], rest[length:]
            equal(len(body), length)
        read.append((status, headers, body))
        got = rest
    return read


def chunks(rest):
    body = b""
    while True:
        size, separator, rest = rest.partition(b"\r\n")
        if not separator:
            return None, b""
        assert re.fullmatch(rb"[0-9A-Fa-f]+", size), size[:100]
        length = int(size, 16)
        if len(rest) < length + 2:
            return None, b""
        equal(rest[length : length + 2], b"\r\n")
        body, rest = body + rest[:length], rest[length + 2 :]
        if length == 0:
            return body, rest


def bad_worker(cell, *front_options, results):
    """A worker that ends whatever has /bad in its target with `results[0]`, and answers all else."""
    proxy, endpoint = cell.proxy()
    front = cell.front(f"first={endpoint}", "--entry", "first", *front_options)
    cell.peer(endpoint, greeting(), run=lambda task: results[0] if b"/bad" in task else [(True, answer("good"))])
    return front, proxy


def unharmed(cell, *programs):
    status, _, body = cell.ask("/good")
    assert status == 200, (status, body)
    for program in programs:
        equal((program.process.poll(), program.find("panicked")), (None, []))
        assert program.memory() < 250, f"{program.process.args[0]} had {program.memory()} MB"


@test
def an_answer_that_http_does_not_allow_reaches_no_client(cell):
    results = [None]
    front, proxy = bad_worker(cell, results=results)
    refused = [answer("x", status) for status in (0, 1, 99, 1000, 65536, 65736, 70000, 2**32 + 200, 2**64 - 1, 2**64 + 200)]
    refused += [
        answer("x", headers=[("x-a", value)]) for value in ("a\r\nb: c", "a\nb", "a\rb", "a\0b", "a\r\n\r\nHTTP/1.1 200 OK")
    ]
    refused += [answer("x", headers=[(name, "a")]) for name in ("x\r\ny", "x y", "x:y", "x\0", "", "\u00e9", "x" * 100000)]
    refused += [answer("x", status) for status in (100, 101, 103, 199)]
    refused += [b"", number(9), b"\xff" * 20, answer("x") + b"x", answer("x")[:-2], number(0) + number(200) + number(2**63)]
    refused += [b"\0\xc8\1\0" + number(2**64 - 1) + b"x", number(8) + number(9), number(8) + number(5)]
    for result in refused:
        results[0] = [(True, result)]
        (first, *_), good = responses(cell.address, "/bad", "/good")
        equal((first, good[0], good[2]), (500, 200, b"good"))
    framing = [(name, value) for name in ("content-length", "Content-Length") for value in ("0", "1", "99", "abc", "-1", "2")]
    framing += [
        (name, value) for name in ("transfer-encoding", "Transfer-Encoding") for value in ("chunked", "gzip, chunked", "identity")
    ]
    for lie in [[header] for header in framing] + [
        framing,
        [("connection", "content-length")],
        [("Connection", "keep-alive, upgrade")],
    ]:
        results[0] = [(True, answer("body", headers=lie))]
        bad, good = responses(cell.address, "/bad", "/good")
        equal((bad[0], bad[2], good[2]), (200, b"body", b"good"))
        results[0] = [(False, head(200, lie)), (False, number(5) + data("body")), (True, worker.END)]
        bad, good = responses(cell.address, "/bad", "/good")
        equal((bad[0], bad[2], good[2]), (200, b"body", b"good"))
    for status in (204, 304):
        results[0] = [(True, answer("body", status, [("content-length", "4")]))]
        bad, good = responses(cell.address, "/bad", "/good")
        equal((bad[0], bad[2], good[2]), (status, b"", b"good"))
    unharmed(cell, front, proxy)


@test
def a_stream_that_is_none_is_not_taken_for_a_whole_one(cell):
    results = [None]
    front, proxy = bad_worker(cell, results=results)
    start, piece, end, abort = (False, head()), (False, number(5) + data("abc")), (True, worker.END), (True, worker.ABORT)
    for whole in (
        [start, end],
        [start, piece, end],
        [start, (False, number(5) + data("")), piece, end],
        [start, start, piece, end],
    ):
        results[0] = whole
        bad, good = responses(cell.address, "/bad", "/good")
        equal((bad[0], bad[2], good[2]), (200, b"abc" * whole.count(piece), b"good"))
    lost, schema = (True, worker.LOST), (True, worker.OTHER_SCHEMA)
    nonsense = [(True, answer("x"))], [(True, b"\xff")], [(False, b"\xff"), end], [lost], [schema]
    for cut in ([abort], [start, abort], [start, piece, abort], *([start, piece, *rest] for rest in nonsense)):
        results[0] = cut
        read = responses(cell.address, "/bad", "/good")
        assert read[0] is None if cut != [abort] else read[0][0] == 500, (cut, read)
    unharmed(cell, front, proxy)


@test
def a_stream_that_ends_before_it_began_is_answered(cell):
    front, proxy = bad_worker(cell, results=[[(True, worker.END)]])
    equal([read and read[0] for read in responses(cell.address, "/bad", "/good")][:1], [500])
    unharmed(cell, front, proxy)


@test
def a_stream_that_goes_on_to_another_stage_is_cut(cell):
    results = [[(False, head()), (False, number(5) + data("abc")), (True, forward("first", b"x"))]]
    front, proxy = bad_worker(cell, "--max-hops", "4", results=results)
    host, port = cell.address.split(":")
    with socket.create_connection((host, int(port)), timeout=WAIT) as client:
        client.sendall(b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b"".join(iter(lambda: client.recv(65536), b""))
    equal(got.count(b"abc"), 1)
    unharmed(cell, front, proxy)


@test
def a_job_that_ends_without_an_end_is_answered_or_cut(cell):
    results = [None]
    front, proxy = bad_worker(cell, "--deadline", "2s", results=results)
    for result in ([(True, head())], [(True, number(5) + data("abc"))], [(False, head()), (True, number(5) + data("abc"))]):
        results[0] = result
        read = responses(cell.address, "/bad", "/good", wait=5)
        assert read[0] is None or read[0][0] >= 500, read
    unharmed(cell, front, proxy)


@test
def forwards_and_splits_that_go_nowhere_are_answered(cell):
    results = [None]
    front, proxy = bad_worker(cell, "--wait", "300ms", "--max-hops", "8", results=results)
    huge = number(2) + data("first") + number(0) + number(10_000_000) + bytes(10_000_000)
    for result, status in [
        (forward("nowhere", b""), 503), (forward("", b""), 503), (forward("n" * 1_000_000, b""), 503), (forward("first", b""), 508),
        (forward("\0", b""), 503), (number(1) + data(b"\xff") + number(0) + data(""), 500), (join("first", b""), 500),
        (split("first", []), 500), (split("nowhere", [b"a", b"b"]), 503), (split("first", [b""] * 10_000), 500),
        (number(2) + data("first") + number(0) + number(2**60), 500), (split("first", [b"/good"], 2**64 - 1), 508),
    ]:  # fmt: skip
        results[0] = [(True, result)]
        read = responses(cell.address, "/bad", "/good")
        equal((read[0][0], read[1][2]), (status, b"good"))
    results[0] = [(True, huge)]
    assert cell.ask("/bad")[0] in (500, 502)  # 502: while this is read, nothing is heard of the proxy
    wait_until("it is answered again", lambda: cell.ask("/good")[0] == 200)
    unharmed(cell, front, proxy)


@test
def splits_within_splits_are_bounded(cell):
    front, proxy = bad_worker(cell, "--deadline", "2s", results=[[(True, split("first", [b"x"] * 4096))]])
    assert cell.ask("/bad")[0] >= 500
    unharmed(cell, front, proxy)


def nonsense():
    """Frames that are no commands, or none of these lengths and numbers."""
    noise = random.Random(7)
    task = os.urandom(16) + b"\1\2" + os.urandom(16) + b"\0\0\0\0" + data("GET") + data("/") + b"\0" + data("") + b"\0\0" + data("")
    job = number(JOB) + number(1) + number(10**6) + number(1) + b"\0" + data(task)
    whole = [
        greeting(),
        job,
        number(OUTCOME) + b"\1\0\0\1" + data(answer("x")),
        *(number(n) + b"\1\1\1" for n in (ANNOUNCE, CANCEL, RETRIED)),
    ]
    frames = [frame[:length] for frame in whole for length in range(len(frame))] + [frame + b"x" for frame in whole]
    frames += [noise.randbytes(noise.randrange(60)) for _ in range(5000)]
    frames += [number(noise.randrange(15)) + noise.randbytes(noise.randrange(30)) for _ in range(5000)]
    for n in (2**31, 2**32, 2**63, 2**64 - 1, 2**64, 2**70, 2**400):
        frames += [number(n), number(HELLO) + b"PRIME\1" + number(1) + bytes(16) + number(n) + b"x", number(WINDOW) + 3 * number(n)]
        frames += [
            number(JOB) + b"\1\1\1\0" + number(n) + b"x",
            number(JOB) + 3 * number(n) + b"\0" + data("x"),
            number(CANCEL) + 2 * number(n),
        ]
        frames += [number(OUTCOME) + number(n) + b"\0\0\1" + number(n), number(RETURN) + number(n), number(RETRIED) + 2 * number(n)]
        frames += [number(OUTCOME) + b"\1\0\0\1" + data(number(result) + 3 * number(n)) for result in range(10)]
        frames += [number(STATUS) + number(n) + b"\1", number(OUTCOME) + number(n) + b"\0\0\1" + data(answer("x"))]
    return [frame for frame in frames if frame != number(BYE) and not (frame[:1] == number(ANNOUNCE) and len(frame) < 24)]


@test
def nonsense_from_any_peer_changes_nothing_at_a_proxy(cell):
    front, proxy, endpoint, its_worker = cell.simple("--entry", "first", "--wait", "1s")
    peers = [cell.peer(endpoint), cell.peer(endpoint, greeting(slots=0)), cell.peer(endpoint, greeting(role=0))]
    for i, frame in enumerate(nonsense()):
        for peer in peers:
            peer.send(frame) if i % 3 else peer.send(frame, frame)
        if i % 1000 == 0:
            equal(cell.ask("/pid")[2], str(its_worker.process.pid))
    for peer in peers:
        peer.sent()
    unharmed(cell, front, proxy)
    equal(its_worker.find("silent|does not know"), [])


@test
def commands_of_another_role_and_for_other_jobs_change_nothing(cell):
    _, proxy, endpoint, its_worker = cell.simple(slots=1)
    held = cell.asking("/hold?1")
    its_worker.wait_for("holds 1")
    for role in (0, 1):
        peer = cell.peer(endpoint, greeting(role=role, slots=0))
        for job in (*range(64), 2**32, 2**32 + 1, 2**33, 2**64 - 1):
            peer.send(number(OUTCOME) + number(job) + b"\0\0\1" + data(answer("stolen")), number(RETURN) + number(job))
            peer.send(
                number(CANCEL) + number(job) + b"\1", number(RETRIED) + number(job) + b"\1", number(WINDOW) + number(job) + b"\0\0"
            )
        peer.send(
            number(STATUS) + b"\1\1", number(WHO), number(REFUSED) + data("x"), number(WELCOME) + b"\1\1" + bytes(16) + b"\0\0"
        )
        peer.send(number(role * 10 or ANNOUNCE) + b"\1\1")
    held.join()
    equal((held.answer[0], held.answer[2]), (200, f"held {its_worker.process.pid}"))
    equal((proxy.process.poll(), its_worker.find("cancelled")), (None, []))


@test
def an_outcome_that_is_said_twice_is_answered_once(cell):
    front, proxy = bad_worker(cell, results=[[(True, answer("one")), (True, answer("two")), (False, head()), (True, worker.END)]])
    for _ in range(20):
        equal([body for _, _, body in responses(cell.address, "/bad", "/good", "/bad")], [b"one", b"good", b"one"])
    unharmed(cell, front, proxy)


@test
def a_hello_of_another_version_is_refused_and_says_so(cell):
    front, proxy, endpoint, _ = cell.simple()
    for version in (0, 2, 255):
        why = cell.peer(endpoint, greeting(version=version)).wait_for(REFUSED).decode()
        assert f"version {version}" in why and "version 1" in why, why


@test
def who_says_hello_in_the_same_message_is_not_asked_who_it_is(cell):
    _, endpoint = cell.proxy()
    for hello, answered in ((greeting(), WELCOME), (greeting(version=2), REFUSED)):
        peer = cell.peer(endpoint)
        peer.send(number(BEAT), hello)
        peer.wait_for(answered)
        equal([frame[0] for frame in peer.got[:1]], [answered])


@test
def ten_thousand_hellos_cost_nothing_that_stays(cell):
    front, proxy, endpoint, its_worker = cell.simple()
    for peers in (lambda: None, lambda same=os.urandom(16): same):
        peer = cell.peer(endpoint, greeting(slots=0))
        for i in range(10_000):
            peer.send(greeting(role=i % 2, slots=0, peer=peers()))
            if i % 1000 == 0:
                equal(cell.ask("/pid")[2], str(its_worker.process.pid))
        peer.sent()
        peer.close()
    many = [cell.peer(endpoint, greeting(slots=0), beats=False) for _ in range(200)]
    equal(cell.ask("/pid")[2], str(its_worker.process.pid))
    for peer in many:
        peer.close()
    unharmed(cell, front, proxy)


@test
def a_proxy_whose_log_nobody_reads_does_not_wait_for_that(cell):
    _, proxy, endpoint, its_worker = cell.simple()
    proxy.reading.clear()
    # More than a pipe takes: each peer is worth two lines.
    for _ in range(700):
        peer = cell.peer(endpoint, greeting(slots=0), beats=False)
        peer.wait_for(WELCOME)
        peer.close()
    equal(cell.ask("/pid")[2], str(its_worker.process.pid))
    equal(proxy.end(), 0)


@test
def a_front_end_that_asks_nonsense_gets_outcomes_and_nobody_else_notices(cell):
    front, proxy, endpoint, its_worker = cell.simple()
    peer = cell.peer(endpoint, greeting(role=0))
    target = data("GET") + data("/pid")

    def task(target=target, lines=b"", payload=b"\0\0\0", end=b""):
        return os.urandom(16) + b"\1\2" + bytes(20) + target + b"\0" + data(lines) + payload + end

    tasks = [b"", os.urandom(40), task()[:-1], task(end=b"x"), task(payload=b"\2"), task(target=data("\r\n") + data("\0")),
             task(lines=b"\xff\r\n:\r\n\r\nx"), task(lines=b"a: b\r\n" * 9999), task(payload=b"\1" + data("")), task()]  # fmt: skip
    for i, written in enumerate(tasks, 1):
        for left in (0, 10**7, 2**64 - 1):
            peer.send(number(JOB) + number(100 * i) + number(left) + number(1) + b"\0" + data(written))
            peer.wait_for(OUTCOME, count=1)
            peer.got.clear()
    peer.send(*[number(JOB) + number(10**6 + i) + number(10**7) + number(1) + b"\1" + data(task()) for i in range(2000)])
    peer.sent()
    peer.close()  # and it is gone
    wait_until("the worker is free again", lambda: cell.ask("/pid")[2] == str(its_worker.process.pid))
    unharmed(cell, front, proxy)


@test
def a_proxy_that_says_nonsense_harms_neither_front_end_nor_worker(cell):
    with contextlib.closing(Peer.context.socket(zmq.ROUTER)) as router:
        router.linger = 0
        endpoint = f"ipc://{cell.folder}/bad"
        router.bind(endpoint)
        front = cell.front(f"first={endpoint}", "--entry", "first", "--wait", "300ms", "--deadline", "1s")
        worker_of_it = cell.program(sys.executable, __file__, "stage", "first", endpoint)
        rust = cell.program(f"{cell.programs}/prime_serverd", "workerd", "is_prime", "--discover", f"fixed:is_prime={endpoint}")
        welcome = number(WELCOME) + b"\1" + number(10_000) + bytes(16) + data("bad")
        hellos = set()
        while len(hellos) < 3:
            assert router.poll(WAIT * 1000)
            peer, *frames = router.recv_multipart()
            if frames[0][0] == HELLO:
                hellos.add(peer)
                router.send_multipart(
                    [peer, welcome + data("is_prime" if b"is_prime" in frames[0] else "first"), number(STATUS) + b"\4\0"]
                )
        frames = [frame for frame in nonsense() if frame not in (number(WHO),)]
        for i in range(0, len(frames), 20):
            for peer in hellos:
                router.send_multipart([peer, *frames[i : i + 20]])
            while router.poll(0):
                router.recv_multipart()
    for program in (front, worker_of_it, rust):
        equal((program.process.poll(), program.find("panicked")), (None, []))
    _, proxy_at = cell.proxy("first", bind=endpoint)
    worker_of_it.wait_for("welcomed by proxy of first")
    wait_until("it is answered", lambda: cell.ask("/pid")[0] == 200)
    equal([program.end() for program in (front, worker_of_it, rust)], [0, 0, 0])


def main(programs, *names):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # and with it what it has started
    failed = passed = 0
    for run in tests:
        if names and not any(name in run.__name__ for name in names):
            continue
        cell, began = Cell(programs), time.monotonic()
        try:
            run(cell)
            passed += 1
            print(f"ok       {run.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception as error:
            failed += 1
            line = error.__traceback__.tb_next.tb_lineno
            print(f"FAILED   {run.__name__}, line {line}: {type(error).__name__}: {error}"[:2000], flush=True)
            for program in cell.started:
                for panic in program.find("panicked at.*"):
                    print(f"         {pathlib.Path(program.process.args[0]).name}: {panic[0]}", flush=True)
        finally:
            cell.end()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    if sys.argv[1] == "stage":
        stage(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
