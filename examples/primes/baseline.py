#!/usr/bin/env python3
"""The Python baseline: is a number prime, asked of a plain threaded http.server.

    GET  /is_prime?possible_prime=N
    POST /is_prime                      with N as the body

answer `true` or `false` as JSON, or 400 with a sentence where N is not a whole number from 0 to 2^64 - 1.
The first line on standard output is `listening on http://ADDRESS:PORT`.
"""

import argparse
import json
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LARGEST = 2**64 - 1
LONGEST_BODY = 1024


class NotAsked(Exception):
    """The request asks for nothing that can be answered; holds the status and the sentence to answer with."""

    def __init__(self, status, sentence):
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def is_prime(n):
    """Trial division by odd numbers up to the square root."""
    if n < 4:
        return n >= 2
    if n % 2 == 0:
        return False
    divisor = 3
    while divisor * divisor <= n:
        if n % divisor == 0:
            return False
        divisor += 2
    return True


def candidate(text):
    """The number that `text` spells."""
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > LARGEST:
        raise NotAsked(HTTPStatus.BAD_REQUEST, f"possible_prime takes a whole number from 0 to {LARGEST}.")
    return int(text)


class Primes(BaseHTTPRequestHandler):
    """One connection's requests, answered in turn on its own thread."""

    protocol_version = "HTTP/1.1"  # keeps connections open between requests
    disable_nagle_algorithm = True  # TCP_NODELAY: an answer's body never waits for the client's acknowledgement

    def do_GET(self):
        self.reply(self.number_in_query)

    def do_POST(self):
        self.reply(self.number_in_body)

    def number_in_query(self):
        values = parse_qs(urlsplit(self.path).query).get("possible_prime", [])
        if len(values) != 1:
            raise NotAsked(HTTPStatus.BAD_REQUEST, "Ask with one possible_prime=N in the query.")
        return candidate(values[0])

    def number_in_body(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LONGEST_BODY:
            self.close_connection = True  # where the next request begins is unknown
            raise NotAsked(HTTPStatus.BAD_REQUEST, f"Send the number as a body of at most {LONGEST_BODY} bytes.")
        return candidate(self.rfile.read(int(length)).decode("latin-1").strip())

    def reply(self, number):
        try:
            asked = number()
            if urlsplit(self.path).path != "/is_prime":
                raise NotAsked(HTTPStatus.NOT_FOUND, "There is only /is_prime here.")
            self.send(HTTPStatus.OK, "application/json", json.dumps(is_prime(asked)))
        except NotAsked as refusal:
            self.send(refusal.status, "text/plain; charset=utf-8", refusal.sentence)

    def send(self, status, content_type, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """A line for each request would measure the terminal."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # the default of 5 drops connections that arrive together

    def handle_error(self, request, client_address):
        """A client that goes away in the middle is no error of ours."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def address(text):
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise argparse.ArgumentTypeError("an address is HOST:PORT; port 0 takes any free port")
    return host, int(port)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("listen", type=address, metavar="HOST:PORT", help="where to listen; port 0 takes any free port")
    listen = parser.parse_args().listen
    with Server(listen, Primes) as server:
        host, port = server.server_address[:2]
        print(f"listening on http://{host}:{port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
