"""Pyre on port 5670. `pyre_peer.py hear` prints each ZRE beacon that its ZBeacon hears as `HOST HEX`; `pyre_peer.py node` is a whole
node, with its own beacon, until standard input ends."""

import struct
import sys

import zmq
from pyre import Pyre
from pyre.zactor import ZActor
from pyre.zbeacon import ZBeacon


def hear():
    beacon = ZActor(zmq.Context(), ZBeacon)
    beacon.send_unicode("CONFIGURE", zmq.SNDMORE)
    beacon.send(struct.pack("I", 5670))
    beacon.recv_unicode()
    beacon.send_unicode("SUBSCRIBE", zmq.SNDMORE)
    beacon.send(b"ZRE")
    print("ready", flush=True)
    while True:
        host, frame = beacon.recv_multipart()
        print(host.decode(), frame.hex().upper(), flush=True)


def node():
    peer = Pyre("peer")
    peer.start()
    print("ready", flush=True)
    sys.stdin.read()
    peer.stop()


{"hear": hear, "node": node}[sys.argv[1]]()
