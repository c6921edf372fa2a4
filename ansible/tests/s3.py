#!/usr/bin/env python3
"""moto as an S3 server on an address and a port, with one bucket: s3.py ADDRESS PORT BUCKET

moto looks whether an object exists and then writes it, and another thread may run in between, so puts are taken one at a
time: the consumer relies on a store that lets only one writer create an object.
"""

import sys
import threading
import urllib.request

from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer

put, turn = S3Response.put_object, threading.Lock()


def put_one_at_a_time(self):
    """S3's PutObject."""
    with turn:
        return put(self)


def main():
    """The command line."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    address, port, bucket = sys.argv[1:]
    S3Response.put_object = put_one_at_a_time
    ThreadedMotoServer(ip_address=address, port=int(port), verbose=False).start()
    with urllib.request.urlopen(urllib.request.Request(f"http://{address}:{port}/{bucket}", method="PUT")):
        print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
