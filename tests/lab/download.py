"""Asks for one object and counts what comes: `download.py HOST PORT PATH SECONDS` prints bytes and seconds."""

import socket
import sys
import time


def main() -> int:
    host, port, path, limit_s = sys.argv[1:]
    buffer = bytearray(1 << 20)
    received = 0
    with socket.create_connection((host, int(port)), timeout=float(limit_s)) as client:
        began = time.monotonic()
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        while time.monotonic() - began < float(limit_s) and (size := client.recv_into(buffer)):
            received += size
        print(received, time.monotonic() - began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
