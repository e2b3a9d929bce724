#!/usr/bin/env python3
"""A worker for prime_server in pure Python, to copy and to change. It needs pyzmq, and nothing else.

    worker.py ENDPOINT...       the proxies of the stage `hello`, such as tcp://127.0.0.1:7001

It speaks the link protocol of prime_server/src/transport/zmq/README.md. The main thread does only that, so it beats in time while
the stage computes in other threads. What holds the GIL for longer than the liveness (some C does) belongs in a process pool.
"""

import concurrent.futures
import contextlib
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback

import zmq

HELLO, WELCOME, REFUSED, WHO, BEAT, BYE, STATUS, ANNOUNCE, JOB, OUTCOME, RETURN, RETRIED, CANCEL, WINDOW, FRAGMENT = range(15)
# What a proxy sends, field for field: n is a number, d data, t text, b a byte (or bool), i an id.
FIELDS = {WELCOME: "bnitt", REFUSED: "t", WHO: "", BEAT: "", BYE: "", JOB: "nnnbd", CANCEL: "nn", WINDOW: "nnn", FRAGMENT: "bd"}
BUFFER = 256 * 1024  # so much of a streamed body may be on its way
MESSAGE = 256 * 1024  # a message that has more takes too long on its way


def number(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + number(n >> 7)


def data(value):
    value = value.encode() if isinstance(value, str) else value
    return number(len(value)) + value


def listed(items):
    return number(len(items)) + b"".join(items)


class Reader:
    """Takes one field after another; raises ValueError where they are not there."""

    def __init__(self, frame):
        self.frame, self.at = frame, 0

    def take(self, length):
        self.at += length
        if self.at > len(self.frame):
            raise ValueError("the frame is cut short")
        return self.frame[self.at - length : self.at]

    def number(self):
        n = 0
        for shift in range(0, 64, 7):
            (byte,) = self.take(1)
            n |= (byte & 127) << shift
            if byte < 128:
                return n
        raise ValueError("a number has more than 64 bits")

    def read(self, kinds):
        of_kind = {"n": self.number, "b": lambda: self.take(1)[0], "i": lambda: self.take(16)}
        return [of_kind[kind]() if kind in of_kind else self.data(kind) for kind in kinds]

    def data(self, kind):
        bytes_of_it = self.take(self.number())
        return bytes_of_it.decode() if kind == "t" else bytes_of_it

    def end(self):
        if self.at != len(self.frame):
            raise ValueError("the frame has bytes left over")


# What a stage may return. For an answer in pieces it yields a `head`, and then bytes.


def head(status=200, headers=(), result=4):
    return number(result) + number(status) + listed([data(name) + data(value) for name, value in headers])


def answer(body, status=200, headers=()):
    return head(status, headers, 0) + data(body)


def forward(stage, message, schema=0, result=1):
    return number(result) + data(stage) + number(schema) + data(message)


def split(stage, parts, schema=0):
    return number(2) + data(stage) + number(schema) + listed([data(part) for part in parts])


def join(stage, message, schema=0):
    return forward(stage, message, schema, 3)


END, ABORT, LOST, OTHER_SCHEMA = b"\6", b"\7", b"\x08\0", b"\x08\5"


class Task:
    """What a stage is given: the request, and how its job stands. What takes long looks at `cancelled` now and then."""

    def __init__(self, link, job, left, attempt, always, written):
        self.link, self.job, self.attempt, self.written, self.due = link, job, attempt, written, time.monotonic() + left / 1e6
        self.cancelled, self.room, self.ran = threading.Event(), threading.Condition(), 0
        self.sent = self.received = self.kept = 0

    def read(self):
        """What the front end wrote. On its own, since a job whose task is nonsense must have an outcome all the same."""
        task = Reader(self.written)
        self.origin, *self.request, self.trace, self.hops, _, _, _, self.schema, self.part = task.read("inninbbnnb")
        self.method, self.target, self.http_10, self.client, lines, from_a_stage = task.read("ttbddn")
        lines = [line.partition(":") for line in lines.decode("latin-1").split("\r\n")[:-1]]
        self.headers = [(name.lower(), value.strip()) for name, _, value in lines]
        self.params = {} if from_a_stage else dict(task.read("tt") for _ in range(task.number()))
        self.body = self.message = task.read("d")[0]
        task.end()

    def change(self, received=0, kept=0, cancel=False):
        with self.room:
            self.received, self.kept = received, kept
            self.cancelled.set() if cancel else None
            self.room.notify()

    def has_room(self, piece):
        """Waits: a client that reads slowly slows the stage, else all that it has not read would be kept on the way."""
        with self.room:
            self.room.wait_for(lambda: self.cancelled.is_set() or self.sent - self.received + self.kept <= BUFFER)
            self.sent += len(piece) + 256
        return not self.cancelled.is_set()


def messages(frames):
    """As they go out: as much in one message as it may have, and what is more than that by itself in fragments."""
    message = []
    for frame in frames:
        if message and sum(map(len, message)) + len(frame) > MESSAGE:
            yield message
            message = []
        if len(frame) <= MESSAGE:
            message.append(frame)
            continue
        for at in range(0, len(frame), MESSAGE):
            yield [number(FRAGMENT) + bytes([at + MESSAGE >= len(frame)]) + data(frame[at : at + MESSAGE])]
    if message:
        yield message


class Link:
    """A proxy: the socket, a new one for each HELLO, and the jobs that came over it."""

    def __init__(self, worker, endpoint):
        self.worker, self.endpoint, self.socket, self.jobs, self.pause, self.due = worker, endpoint, None, {}, 0.05, 0.0
        # `due`: when the next BEAT is, or where there is no socket, the next HELLO

    def open(self, free):
        self.socket = self.worker.context.socket(zmq.DEALER)
        self.socket.reconnect_ivl, self.socket.reconnect_ivl_max = 50, 2000
        self.socket.connect(self.endpoint)
        self.out, self.slots, self.liveness, self.bye = [self.worker.hello(free)], free, self.worker.liveness, False
        self.done, self.fragments = False, []  # `done`: the proxy gives no more jobs
        self.heard = time.monotonic()

    def lose(self, why, pause=None):
        """Ends it for good: the proxy has given its jobs to others, and takes no outcome of theirs."""
        print(f"{self.endpoint}: {why}", file=sys.stderr, flush=True)
        for task in self.jobs.values():
            task.change(cancel=True)
        self.socket.close(linger=0)
        self.socket, self.jobs, self.due = None, {}, time.monotonic() + (pause or self.pause)
        self.pause = min(2 * self.pause, 2)

    def send(self, command, *fields):
        """With all else that this turn has to say."""
        self.out.append(number(command) + b"".join(fields))

    def receive(self):
        with contextlib.suppress(zmq.Again):
            while self.socket:
                for frame in self.socket.recv_multipart(zmq.DONTWAIT):
                    self.heard = time.monotonic()
                    self.take_frame(frame)

    def take_frame(self, frame):
        try:
            reader = Reader(frame)
            command = reader.number()
            fields = reader.read(FIELDS[command])
            reader.end()
        except (ValueError, KeyError) as why:
            print(f"{self.endpoint}: dropped a frame: {why!r}", file=sys.stderr, flush=True)
        else:
            self.take(command, *fields)

    def take(self, command, *fields):
        if not self.socket:
            return  # a frame before this one has ended the link
        if command == FRAGMENT:
            self.fragments.append(fields[1])
            if fields[0]:
                whole, self.fragments = b"".join(self.fragments), []
                self.take_frame(whole)
        elif command == WELCOME:
            self.liveness, self.pause = min(self.liveness, fields[1] / 1000), 0.05
            print(f"{self.endpoint}: welcomed by {fields[3]}", file=sys.stderr, flush=True)
        elif command == REFUSED:
            self.lose(f"refused: {fields[0]}", pause=5)
        elif command == WHO:
            self.lose("does not know this worker any more")
        elif command == BYE:
            self.done = True
        elif command == JOB:
            self.worker.start(Task(self, *fields))
        elif command in (CANCEL, WINDOW) and fields[0] in self.jobs:
            task = self.jobs[fields[0]]
            task.change(cancel=True) if command == CANCEL else task.change(*fields[1:])

    def tick(self, free):
        """Says what there is to say, in one message, and sees to the time."""
        now, slots = time.monotonic(), free + len(self.jobs)
        if slots != self.slots and not self.worker.leaving:
            self.slots, announce = slots, number(ANNOUNCE) + number(slots) + number(0)
            self.out.insert(0, announce)  # ahead of a RETURN, else the job comes back at once
        if self.worker.leaving and not self.bye:
            self.bye = True
            self.send(BYE)
        if not self.out and now >= self.due:
            self.send(BEAT)
        try:
            for message in messages(self.out):
                self.socket.send_multipart(message, zmq.DONTWAIT)
            if self.out:
                self.out, self.due = [], now + self.liveness / 4
        except zmq.Again:
            return self.lose("takes nothing any more")
        if now > self.heard + self.liveness:
            self.lose("is silent")


class Worker:
    """`run(task)` is the stage. Times are in seconds. `message`: name and schema of what is forwarded here, if they are known."""

    def __init__(self, stage, run, endpoints, slots=4, limit=1024, timeout=None, idempotent=False, message=None, liveness=1.0):
        self.run, self.slots, self.liveness, self.schema = run, slots, liveness, message[1] if message else 0
        start = [number(HELLO), b"PRIME\1", number(int(liveness * 1000)), os.urandom(16), data(f"python {os.getpid()}"), number(1)]
        start += [data(stage), b"\1" + data(message[0]) + number(message[1]) if message else b"\0", b"\1"]
        end = [number(limit), b"\1" + number(int(timeout * 1000)) if timeout else b"\0", bytes([idempotent, False]) + b"\0\0"]
        self.hello = lambda free: b"".join([*start, number(free), *end])
        self.context, self.threads = zmq.Context(), concurrent.futures.ThreadPoolExecutor(slots)
        self.links, self.running, self.leaving = [Link(self, endpoint) for endpoint in endpoints], set(), None
        self.outcomes, (self.bell, self.ring) = queue.SimpleQueue(), socket.socketpair()
        self.bell.setblocking(False), self.ring.setblocking(False)

    def start(self, task):
        """Runs a job, or gives it back where another proxy has taken the last thread at the same time."""
        if self.leaving or len(self.running) >= self.slots:
            return task.link.send(RETURN, number(task.job))
        task.link.jobs[task.job] = task
        self.running.add(task)
        self.threads.submit(self.compute, task)

    def compute(self, task):
        """In a thread of the stage."""
        result, begun = LOST, time.monotonic()
        try:
            task.read()
            result = self.run(task) if task.schema == self.schema or 0 in (task.schema, self.schema) else OTHER_SCHEMA
            if not isinstance(result, bytes):
                pieces = iter(result)
                self.tell(task, next(pieces), ends=False)
                result = ABORT
                if all(task.has_room(piece) and self.tell(task, number(5) + data(piece), ends=False) for piece in pieces):
                    result = END
        except Exception:
            traceback.print_exc()
            result = result if result is ABORT else answer(b"", 500)
        task.ran = int((time.monotonic() - begun) * 1e6)
        self.tell(task, result)

    def tell(self, task, result, ends=True):
        """To the main thread, which alone may use the sockets."""
        self.outcomes.put((task, result, ends))
        with contextlib.suppress(BlockingIOError):  # it has been rung often enough
            self.ring.send(b"!")
        return True

    def leave(self, which, _):
        signal.signal(which, signal.SIG_DFL)
        self.leaving = time.monotonic() + self.liveness  # in that time every proxy that is alive answers the BYE

    def is_given_jobs(self):
        """A JOB may cross with the BYE: it is given back, and no more follow the answer."""
        return time.monotonic() < self.leaving and any(link.socket and not link.done for link in self.links)

    def turn(self):
        """Sends what there is to say, waits for what comes next, and takes it."""
        now, free, poller = time.monotonic(), self.slots - len(self.running), zmq.Poller()
        poller.register(self.bell, zmq.POLLIN)
        for link in self.links:
            if not link.socket and not self.leaving and now >= link.due:
                link.open(free)
            if link.socket:
                link.tick(free)
            if link.socket:
                poller.register(link.socket, zmq.POLLIN)
        due = min([link.due for link in self.links if link.socket or not self.leaving], default=now + 0.05)
        if self.bell.fileno() in dict(poller.poll(max(1, 1000 * (due - now)))):
            self.bell.recv(4096)
        for link in self.links:
            link.receive()
        while not self.outcomes.empty():
            task, result, ends = self.outcomes.get()
            if task.link.jobs.get(task.job) is task:  # else the link has been lost, and with it the job
                task.link.send(OUTCOME, number(task.job), 2 * number(task.ran), bytes([ends]), data(result))
                if ends:
                    del task.link.jobs[task.job]
            if ends:
                self.running.remove(task)

    def serve(self):
        """Until SIGTERM or Ctrl-C: then it takes no more jobs, and those that run come to their ends. Another one kills."""
        for which in (signal.SIGTERM, signal.SIGINT):
            signal.signal(which, self.leave)
        signal.set_wakeup_fd(self.ring.fileno(), warn_on_full_buffer=False)
        while not self.leaving or self.running or self.is_given_jobs():
            self.turn()
        for link in self.links:
            if link.socket:
                link.tick(0)
        self.context.destroy(linger=1000)


def hello(task):
    """The example: it answers with what it was asked."""
    if task.method not in ("GET", "POST"):
        return answer(b"GET or POST\n", 405, [("allow", "GET, POST")])
    return answer(f"hello, {task.target}\n", headers=[("content-type", "text/plain; charset=utf-8")])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    Worker("hello", hello, sys.argv[1:]).serve()
