"""The least server that sends a file, to compare what bounds its unsent bytes.

`sendfile_server.py HOST PORT FILE BOUND [CONGESTION_CONTROL]`, where BOUND is `kernel` (its own choice),
`fixed` (SO_SNDBUF of 256 KiB) or `rule` (ours). It answers whatever it is asked, one client at a time.
"""

import os
import select
import socket
import sys

from sluice_appliance.serving.tcp_path import LOOK_EVERY_STALLS, bound_unsent, follow
from sluice_appliance.serving.unsent import FLOOR_BYTES

_BURST_BYTES = 4 * 1024 * 1024


def main() -> int:
    host, port, file, bound, *congestion_control = sys.argv[1:]
    with socket.create_server((host, int(port))) as listener, open(file, "rb") as body:
        if bound == "rule":
            bound_unsent(listener, FLOOR_BYTES)
        elif bound == "fixed":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 * 1024)
        for name in congestion_control:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        print("serving", flush=True)
        while True:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                try:
                    _send(client, body.fileno(), follows=bound == "rule")
                except ConnectionError:
                    continue


def _send(client: socket.socket, file: int, *, follows: bool) -> None:
    client.setblocking(False)
    poll = select.poll()
    poll.register(client, select.POLLOUT)
    offset, stalls, bound = 0, 0, FLOOR_BYTES
    while True:
        try:
            sent = os.sendfile(client.fileno(), file, offset, _BURST_BYTES)
        except BlockingIOError:
            stalls += 1
            if follows and stalls % LOOK_EVERY_STALLS == 0:
                bound = follow(client, bound)
            poll.poll()
            continue
        if sent == 0:
            return
        offset += sent


if __name__ == "__main__":
    sys.exit(main())
