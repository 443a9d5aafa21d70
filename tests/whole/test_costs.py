"""Every request that a command sent stands in the ledger once its process is gone, once: by the server's own log."""

import logging
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.service.daemon_process import running
from tests.stores.servers import S3Server, moto_server
from tests.whole.site import OK, SKIPPED, Site
from tests.whole.tree import YEAR_NS, noise, text, write
from tiering.catalog import accounts, ledger
from tiering.catalog.open import open_catalog
from tiering.clock import SystemClock
from tiering.config import load_config
from tiering.config.policy import price_book

pytestmark = pytest.mark.s3
_LINE = re.compile(r'"(?:\x1b\[\d*m)*(?P<method>[A-Z]+) (?P<target>\S+) HTTP')  # failures are logged in colour


class RequestLog(logging.Handler):
    """What moto was asked, by its own account."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def take(self) -> list[tuple[str, str]]:
        """Return (method, target) of the requests since the last call."""
        lines, self.lines = self.lines, []
        found = [match for line in lines if (match := _LINE.search(line))]
        assert len(found) == len(lines), lines
        return [(match["method"], match["target"]) for match in found]


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Server]:
    with moto_server() as server:
        yield server


@pytest.fixture
def asked(moto: S3Server) -> Iterator[RequestLog]:
    """The log of the server, from here on."""
    log, logger = RequestLog(), logging.getLogger("werkzeug")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(log)
    try:
        yield log
    finally:
        logger.removeHandler(log)
        logger.setLevel(before)


@pytest.fixture
def away(tmp_path: Path, moto: S3Server, aws_credentials: tuple[str, str], asked: RequestLog) -> Site:
    """A site on S3 whose configuration is written; init has not run."""
    made = Site(tmp_path / "site", store_url=f"s3://{moto.bucket(f'costs-{uuid4().hex[:8]}')}/prefix")
    # The class is named: init's search for one comes before there is a catalog, and so in no book.
    made.init_options = ("--endpoint-url", moto.endpoint, "--archive", "GLACIER")
    for i in range(3):
        path = os.fsencode(made.root) + b"/%d.bin" % i
        write(path, noise(i, 300_000) + text(i, 50_000), mtime_ns=40 * YEAR_NS)
    asked.take()
    return made


def priced(site: Site, asked: RequestLog) -> int:
    """Return what the requests since the last look cost, in nano-dollars."""
    book = price_book(load_config(str(site.config)).config)
    total = 0
    stored: set[str] = set()
    for method, target in asked.take():
        # A pack for an archive is put, read back, and then copied onto itself in its class; a probe puts it there.
        is_copy = method == "PUT" and "/packs/" in target and target in stored
        stored.add(target)
        price = book.price("GLACIER" if is_copy or target.endswith("/class-GLACIER") else "STANDARD")
        if target.endswith("?restore"):
            continue  # booked with the restore, by its speed
        if method in {"PUT", "POST"}:
            total += price.put_nano
        elif method == "GET" and ("list-type=2" in target or "?uploads" in target):
            total += book.price("STANDARD").put_nano
        elif method in {"GET", "HEAD"}:
            total += price.get_nano
        else:
            assert method == "DELETE"  # free
    return total


def booked(site: Site, reason: str = "") -> int:
    """Return the nano-dollars in the ledger for requests, of entries that begin with *reason*."""
    catalog = open_catalog(load_config(str(site.config)).config.catalog.url, clock=SystemClock())
    try:
        with catalog.read() as tx:
            return sum(
                line.amount
                for entry in ledger.entries(tx)
                if entry.kind == "requests" and entry.reason.startswith(reason)
                for line in entry.lines
                if line.account in {accounts.COST_REQUESTS, accounts.COST_TRANSITION}
            )
    finally:
        catalog.close()


def test_p6_every_request_of_every_command_is_booked_once(away: Site, asked: RequestLog, tmp_path: Path) -> None:
    site, root = away, str(away.root)
    site.init()
    assert (total := booked(site)) == priced(site, asked) > 0

    commands: list[tuple[str, ...]] = [
        ("migrate", root, "--to", "standard", "--release", "--yes"),
        ("audit",),
        ("scrub",),
        ("restore", root, "--to", str(tmp_path / "restored")),
        ("cat", f"{root}/1.bin"),
        ("doctor", "--probe"),
        ("recall", f"{root}/0.bin", f"{root}/1.bin"),
        ("reconcile",),
        ("cycle", "--yes"),
        ("gc", "--yes"),
    ]
    for command in commands:
        site.run(*command, expect=(OK, SKIPPED))
        now = booked(site)
        cost = priced(site, asked)
        assert (command[0], now - total) == (command[0], cost)
        assert cost > 0, command
        total = now

    assert site.json("ledger", "verify")["ok"] is True
    site.run("status")
    site.run("scan")
    assert asked.take() == []
    assert booked(site) == total

    shutil.rmtree(site.state)
    site.run("rebuild", "--yes")
    assert booked(site, "rebuild") == priced(site, asked) > 0
    total = booked(site)
    site.run("leave", "--yes")
    assert booked(site) - total == priced(site, asked) > 0


def test_p6_every_request_of_the_daemon_is_booked_once_across_a_reload(
    away: Site, asked: RequestLog, tmp_path: Path
) -> None:
    away.init()
    away.set("act", "true")
    away.set("format", '"json"')
    with running(away, tmp_path) as daemon:
        done = daemon.until_logged("duty_ended", duty="cycle")
        assert done["files_done"] == 3
        away.set("keep_days", "31")
        daemon.signal(signal.SIGHUP)
        daemon.until_logged("configuration_taken_up")
        daemon.signal(signal.SIGTERM)
        assert daemon.ends() == 0

    assert booked(away) == priced(away, asked) > 0
    assert booked(away, "migrate") > 0
