#!/usr/bin/env python3
"""Sends what smugglers send through nginx to a prime_server, over kept connections: the server must see what nginx forwarded, and
nothing else.

    tests/smuggling.py NGINX SERVER      the two programs; tests/smuggling.sh builds and installs them
"""

import contextlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

# What a stage must never see: it is what each vector tries to get past the front.
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


def post(lines, body, method="POST", version="HTTP/1.1"):
    return f"{method} /front {version}\r\nHost: x\r\n{lines}\r\n\r\n{body}"


def vectors():
    length = len(SMUGGLED)
    whole, none = f"Content-Length: {length}", "Content-Length: 0"
    chunked = "Transfer-Encoding: chunked"
    in_chunk = f"{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
    for lines, body in [
        (whole, SMUGGLED),
        (none, SMUGGLED.replace("smuggled", "pipelined")),
        (chunked, in_chunk),
        (f"{none}\r\n{chunked}", in_chunk),
        (f"{whole}\r\n{chunked}", "0\r\n\r\n" + SMUGGLED),
        (f"{none}\r\n{whole}", SMUGGLED),
        (f"{whole}\r\n{none}", SMUGGLED),
        (f"Content-Length: {length}, {length}", SMUGGLED),
        (f"Content-Length: +{length}", SMUGGLED),
        (f"Content-Length: 0{length}", SMUGGLED),
        (f"Content-Length: {length} ", SMUGGLED),
        (f"Content-Length : {length}", SMUGGLED),
        (f"Content-Length:\t{length}", SMUGGLED),
        (f"Content-Length: {length}abc", SMUGGLED),
        (f"Content-Length: -{length}", SMUGGLED),
        (f"Content-Length: {2**64 + length}", SMUGGLED),
        (f"Content_Length: {length}", SMUGGLED),
        ("Transfer-Encoding: xchunked", in_chunk),
        ("Transfer-Encoding : chunked", in_chunk),
        ("Transfer-Encoding:\tchunked", in_chunk),
        ("Transfer-Encoding: chunked, identity", in_chunk),
        ("Transfer-Encoding: identity, chunked", in_chunk),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", in_chunk),
        ("Transfer-Encoding: x\r\nTransfer-Encoding: chunked", in_chunk),
        ("Transfer-Encoding:\r\n chunked", in_chunk),
        ("X: y\r\n Transfer-Encoding: chunked", in_chunk),
        ("X: y\rTransfer-Encoding: chunked", in_chunk),
        ("X: y\nTransfer-Encoding: chunked", in_chunk),
        ("X: y\0\r\nTransfer-Encoding: chunked", in_chunk),
        (f"Expect: 100-continue\r\n{whole}", SMUGGLED),
        (f"Connection: content-length\r\n{whole}", SMUGGLED),
        (f"Upgrade: h2c\r\nConnection: upgrade\r\n{none}", SMUGGLED.replace("smuggled", "pipelined")),
    ]:
        yield post(lines, body)
        yield post(lines, body, version="HTTP/1.0")
        yield post(lines, body, method="GET")
    for body in [
        f"{length:x};a=b\r\n{SMUGGLED}\r\n0\r\n\r\n",
        f"{length:x}\n{SMUGGLED}\r\n0\r\n\r\n",
        f"{length:x}\r\n{SMUGGLED}\n0\r\n\r\n",
        f"{length:X} \r\n{SMUGGLED}\r\n0\r\n\r\n",
        f"0x{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n",
        f"1\r\nZ\r\n0\r\nContent-Length: {length}\r\n\r\n",
        f"{2**64 + 1:x}\r\nZ\r\n0\r\n\r\n",
        f"1\r\nZZ\r\n0\r\n\r\n",
        "0\r\n\r\n" + SMUGGLED.replace("smuggled", "pipelined"),
    ]:
        yield post(chunked, body)


def ask(address, request):
    """Sends a request, and another that must be answered after it or on a new connection; reads up to the end."""
    with socket.create_connection(address, timeout=10) as client:
        client.sendall(request.encode("latin-1"))
        client.sendall(b"GET /after HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        client.settimeout(1.0)
        try:
            while client.recv(65536):
                pass
        except (TimeoutError, ConnectionError):
            pass


CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    log_format seen escape=none '$request_method $request_uri $upstream_status';
    access_log {folder}/access.log seen;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    underscores_in_headers on; ignore_invalid_headers off;
    upstream server {{ server {server}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection "";
            {buffering}
        }}
    }}
}}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(what, happened):
    until = time.monotonic() + 30
    while not happened():
        if time.monotonic() > until:
            sys.exit(f"never happened: {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def process(*command, **options):
    """A process that ends with the block."""
    with subprocess.Popen(command, **options) as child:
        try:
            yield child
        finally:
            child.terminate()


def run(nginx, server, buffering):
    with tempfile.TemporaryDirectory() as folder:
        with process(server, stdout=subprocess.PIPE, text=True) as behind:
            address = behind.stdout.readline().strip().removeprefix("tcp://")
            port = free_port()
            path = pathlib.Path(folder) / "nginx.conf"
            path.write_text(CONFIGURATION.format(folder=folder, server=address, port=port, buffering=buffering))
            with process(nginx, "-c", str(path), "-e", f"{folder}/error.log") as front:

                def listens():
                    if front.poll() is not None:
                        sys.exit("nginx ended")
                    with socket.socket() as probe:
                        return probe.connect_ex(("127.0.0.1", port)) == 0

                wait_for("nginx listens", listens)
                sent = list(vectors())
                for vector in sent:
                    ask(("127.0.0.1", port), vector)
            behind.terminate()
            seen = behind.stdout.read().splitlines()
        access = (pathlib.Path(folder) / "access.log").read_text(errors="replace").splitlines()
    forwarded = sorted(" ".join(line.split(" ")[:2]) for line in access if re.search(r" \d+$", line))
    got = sorted(" ".join(line.split(" ")[:2]) for line in seen)
    extra = list(got)
    for request in forwarded:
        if request in extra:
            extra.remove(request)
    if extra:
        sys.exit(f"the server saw what nginx did not forward: {extra}")
    after = got.count("GET /after")
    print(f"{len(sent)} vectors, {len(forwarded)} forwarded, {len(got)} seen, {after} of them asked after a vector")
    if not got or not after:
        sys.exit("nothing came through, so nothing is shown")


def main():
    nginx, server = sys.argv[1:]
    for buffering in ["proxy_request_buffering on;", "proxy_request_buffering off;"]:
        run(nginx, os.path.abspath(server), buffering)


if __name__ == "__main__":
    main()
