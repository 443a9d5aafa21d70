"""What moving bytes to and from an S3 endpoint costs the client: whole packs up and down, and small ranges.

Without --endpoint-url the server is a process of this script that throws away what it gets and answers from memory, so
that the client is what is measured; with it, any server (a bucket must exist; credentials from the environment). Each
row is a process of its own. frostline's row is the store as migrations use it, checksum included, every wrapper on;
boto3's is its put_object and get_object as they come.
"""

import argparse
import io
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import boto3
from botocore.config import Config

from dedup.values import Span
from tiering.clock import SystemClock
from tiering.stores.base import Store
from tiering.stores.checksum import checksum_of
from tiering.stores.open import open_store
from tiering.stores.options import StoreOptions

PACK_BYTES = 64 << 20
RANGE_BYTES = 1 << 20
BUCKET = "benchmark"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
PHASES = ("put", "get", "ranges")


@dataclass(frozen=True, slots=True)
class Row:
    """One client doing one thing."""

    client: str
    what: str
    threads: int
    requests: int
    size_bytes: int
    wall_s: float
    cpu_s: float
    """Of the client, less what its start took."""
    mb_per_s: float
    cpu_s_per_gb: float
    requests_per_s: float
    peak_rss_mb: float


def serve(port_file: int) -> None:
    """Answer PUT with 200 and GET with bytes, for ever; tell the port first."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    os.write(port_file, str(listener.getsockname()[1]).encode())
    os.close(port_file)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer_all, args=(connection,), daemon=True).start()


def _answer_all(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    zeros, sink = bytes(PACK_BYTES), memoryview(bytearray(1 << 20))
    pending = b""
    while True:
        while b"\r\n\r\n" not in pending:
            received = connection.recv(65536)
            if not received:
                return
            pending += received
        head, _, pending = pending.partition(b"\r\n\r\n")
        method = head.partition(b" ")[0]
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if headers.get(b"expect") == b"100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if method == b"PUT":
            left = int(headers.get(b"content-length", 0)) - len(pending)
            pending = b""
            while left > 0:
                left -= connection.recv_into(sink, min(left, len(sink)))
            connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n')
            continue
        first, _, last = headers.get(b"range", b"bytes=0-%d" % (PACK_BYTES - 1)).removeprefix(b"bytes=").partition(b"-")
        size = int(last) - int(first) + 1
        status = b"206 Partial Content" if b"range" in headers else b"200 OK"
        stamps = b'ETag: "e"\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n'
        connection.sendall(b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n" % (status, stamps, size))
        connection.sendall(memoryview(zeros)[:size])


class Frostline:
    """The store, wrapped as jobs have it."""

    def __init__(self, endpoint: str, threads: int) -> None:
        """Open it."""
        options = StoreOptions(endpoint_url=endpoint, region="us-east-1", path_style=True, max_concurrency=threads)
        self._store: Store = open_store(f"s3://{BUCKET}", options=options, clock=SystemClock())

    def put(self, key: str, body: bytes) -> None:
        """Store an object."""
        self._store.put(
            key,
            io.BytesIO(body),
            size_bytes=len(body),
            checksum=checksum_of(body),
            storage_class="STANDARD",
            if_absent=False,
        )

    def get(self, key: str, span: Span | None) -> int:
        """Read an object or a part of it."""
        return len(self._store.get(key, span))


class Boto3:
    """boto3 as it comes, but for the number of connections."""

    def __init__(self, endpoint: str, threads: int) -> None:
        """Open it."""
        config = Config(s3={"addressing_style": "path"}, max_pool_connections=threads)
        self._client: Any = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config)

    def put(self, key: str, body: bytes) -> None:
        """Store an object."""
        self._client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def get(self, key: str, span: Span | None) -> int:
        """Read an object or a part of it."""
        chosen = {} if span is None else {"Range": f"bytes={span.start}-{span.end - 1}"}
        return len(self._client.get_object(Bucket=BUCKET, Key=key, **chosen)["Body"].read())


CLIENTS = {"frostline": Frostline, "boto3": Boto3}


def phase(args: argparse.Namespace) -> None:
    """Do one phase in this process and print what it cost."""
    client = CLIENTS[args.client](args.endpoint_url, args.threads)
    client.put("warm", b"warm")
    body = os.urandom(PACK_BYTES)
    packs = max(1, int(args.gb * 1e9) // PACK_BYTES)
    if args.phase == "put":
        work = [lambda i=i: client.put(f"pack-{i % 4}", body) for i in range(packs)]
    elif args.phase == "get":
        work = [lambda i=i: client.get(f"pack-{i % 4}", None) for i in range(packs)]
    else:
        spans = [Span(i * 7919 * 4096 % (PACK_BYTES - RANGE_BYTES), RANGE_BYTES) for i in range(packs * 16)]
        work = [lambda i=i, span=span: client.get(f"pack-{i % 4}", span) for i, span in enumerate(spans)]
    if args.phase != "put" and args.is_real:
        for number in range(4):
            client.put(f"pack-{number}", body)
    began_s, before = time.monotonic(), os.times()
    with ThreadPoolExecutor(args.threads) as pool:
        for future in [pool.submit(item) for item in work]:
            future.result()
    after = os.times()
    cpu_s = after.user + after.system - before.user - before.system
    size = len(work) * (RANGE_BYTES if args.phase == "ranges" else PACK_BYTES)
    peak_rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps([len(work), size, time.monotonic() - began_s, cpu_s, peak_rss_mb]))


def measure(args: argparse.Namespace, endpoint: str) -> list[Row]:
    """Return a row for each client and phase."""
    rows = []
    for what in PHASES:
        for client in args.clients.split(","):
            argv = [sys.executable, __file__, "--phase", what, "--client", client, "--endpoint-url", endpoint]
            argv += ["--gb", str(args.gb), "--threads", str(args.threads)] + (
                ["--is-real"] if args.endpoint_url else []
            )
            done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, env=CREDENTIALS | os.environ)
            requests, size, wall_s, cpu_s, peak_rss_mb = json.loads(done.stdout)
            rows.append(
                Row(
                    client=client,
                    what=what,
                    threads=args.threads,
                    requests=requests,
                    size_bytes=size,
                    wall_s=wall_s,
                    cpu_s=cpu_s,
                    mb_per_s=size / 1e6 / wall_s,
                    cpu_s_per_gb=cpu_s / size * 1e9,
                    requests_per_s=requests / wall_s,
                    peak_rss_mb=peak_rss_mb,
                )
            )
    return rows


def _served(args: argparse.Namespace) -> list[Row]:
    """Measure against a server that keeps nothing."""
    reader, writer = os.pipe()
    argv = [sys.executable, __file__, "--serve", str(writer)]
    with subprocess.Popen(argv, pass_fds=(writer,)) as server:
        os.close(writer)
        try:
            port = int(os.read(reader, 16))
            return measure(args, f"http://127.0.0.1:{port}")
        finally:
            server.kill()
            os.close(reader)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--clients", default="frostline,boto3")
    parser.add_argument("--endpoint-url", default="", help="a real server, with a bucket named benchmark")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--phase", default="", help=argparse.SUPPRESS)
    parser.add_argument("--client", default="", help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--is-real", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
    elif args.phase:
        phase(args)
    else:
        rows = measure(args, args.endpoint_url) if args.endpoint_url else _served(args)
        print(json.dumps([asdict(row) for row in rows])) if args.json else print_rows(rows)


def print_rows(rows: list[Row]) -> None:
    """Print a table."""
    head = f"{'client':<11}{'what':<8}{'requests':>9}{'wall s':>8}{'CPU s':>8}{'MB/s':>8}{'CPU s/GB':>10}"
    print(f"{head}{'req/s':>8}{'MB':>6}")
    for row in rows:
        print(
            f"{row.client:<11}{row.what:<8}{row.requests:>9,}{row.wall_s:>8.2f}{row.cpu_s:>8.2f}{row.mb_per_s:>8.0f}"
            f"{row.cpu_s_per_gb:>10.2f}{row.requests_per_s:>8.0f}{row.peak_rss_mb:>6.0f}"
        )


if __name__ == "__main__":
    main()
