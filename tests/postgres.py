"""A throw-away PostgreSQL for a test session: its own cluster in a temporary folder, reached over a unix
socket.

The server refuses to run as root, so as root it runs as `postgres` or `nobody`. Import the fixtures
`postgres_server` and `postgres_url` in a conftest.py; a test that uses them is skipped with a reason where the
binaries are missing.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

PLACES = "/usr/lib/postgresql/*/bin"  # Debian keeps the server's binaries out of PATH
ACCOUNTS = ("postgres", "nobody")
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "60"}


@dataclass(frozen=True)
class PostgresServer:
    """A running server."""

    socket_folder: Path
    user: str
    numbers: Iterator[int] = field(default_factory=count)
    emptied: list[str] = field(default_factory=list)
    """Databases that were given back. Each costs 300 files to make and to remove; a test changes a dozen."""

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database on this server."""
        return f"postgresql://{self.user}@/{database}?host={quote(str(self.socket_folder))}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of an empty database; everything in it is dropped at the end."""
        name = self.emptied.pop() if self.emptied else self._new()
        yield self.url(name)
        with self._link(name) as link:
            link.execute("SET lock_timeout = '5s'")  # a test that left a connection in a transaction is at fault
            link.execute("DROP SCHEMA public CASCADE")
            link.execute("CREATE SCHEMA public")
        self.emptied.append(name)

    def _new(self) -> str:
        name = f"test_{next(self.numbers)}"
        with self._link("postgres") as link:
            link.execute(f"CREATE DATABASE {name}".encode())
        return name

    def _link(self, database: str) -> "psycopg.Connection[Any]":
        return psycopg.connect(host=str(self.socket_folder), user=self.user, dbname=database, autocommit=True)


def find_binaries() -> Path | None:
    """Return the folder that has initdb and pg_ctl, the newest version first."""
    places = [Path(found).parent] if (found := shutil.which("initdb")) else []
    places += sorted(Path("/").glob(PLACES.lstrip("/")), reverse=True)
    return next((place for place in places if (place / "pg_ctl").exists()), None)


def server_account() -> pwd.struct_passwd | None:
    """Return whom the server runs as: ourselves, or as root one of ACCOUNTS."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start a cluster for the session and stop it at the end."""
    binaries, account = find_binaries(), server_account()
    if binaries is None or account is None:
        pytest.skip("no PostgreSQL server binaries (Debian: apt install postgresql)")
    # Not pytest's folder: a socket's path may have 107 bytes, and root's temporary folders are closed to others.
    folder = Path(tempfile.mkdtemp(prefix="frostline-pg-"))
    try:
        os.chown(folder, account.pw_uid, account.pw_gid)
        data = folder / "data"
        _run(
            account,
            binaries / "initdb",
            "-D",
            data,
            "-U",
            "frostline",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
        )
        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        where = f"-k {folder} -c listen_addresses='' {options}"
        _run(account, binaries / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", where, "start")
        try:
            yield PostgresServer(folder, "frostline")
        finally:
            _run(account, binaries / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the URL of an empty database."""
    with postgres_server.database() as url:
        yield url


def _run(account: pwd.struct_passwd, *command: object) -> None:
    as_other: dict[str, Any] = (
        {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    words = [str(word) for word in command]
    # Output to a file, not a pipe: the server inherits it and would keep the pipe open.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            words,
            stdout=said,
            stderr=said,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env={"LC_ALL": "C"},
            check=False,
            **as_other,
        )
        if done.returncode != 0:
            said.seek(0)
            raise RuntimeError(f"{words[0]} failed:\n{said.read().decode(errors='replace')}")
