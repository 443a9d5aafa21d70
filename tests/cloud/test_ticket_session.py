"""An operator's days with an archive, command by command, on the cloud's clock."""

import json
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from tests.cloud.installation import Site
from tests.whole.tree import noise
from tiering.cli.dispatch import command_app
from tiering.cli.output import Output
from tiering.cli.session import Session
from tiering.clock import FakeClock
from tiering.errors import OverBudget, UsageError, WaitingOnRestore

pytestmark = pytest.mark.s3
CONFIG = """
act = true
[catalog]
url = "sqlite:///{base}/state/catalog.db"
state_dir = "{base}/state"
[[roots]]
name = "root"
path = "{base}/root"
[tiers.standard]
store = "s3://vault"
endpoint_url = "{endpoint}"
path_style = true
[tiers.archive]
store = "s3://vault"
endpoint_url = "{endpoint}"
path_style = true
storage_class = "GLACIER"
[chunking]
pack_bytes = "1MiB"
[release]
park_s = 0
min_size = 0
[recall]
reserve_fraction = 0
budget_usd_per_day = 1.0
"""
Run = Callable[..., tuple[int, Any]]


class Patience(Event):
    """What --wait waits on: the cloud's clock goes on instead of the machine's."""

    def __init__(self, clock: FakeClock) -> None:
        """Wait on *clock*."""
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        """Let *timeout* pass, and half an hour."""
        self.clock.advance((timeout or 0) + 1800)
        return self.is_set()


@pytest.fixture
def run(site: Site, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run one command on the cloud's clock; returns its exit code and what --json printed, or the raw output."""
    site.base.mkdir()
    (site.base / "root").mkdir()
    config = site.base / "frostline.toml"
    config.write_text(CONFIG.format(base=site.base, endpoint=site.server.endpoint))

    def command(name: str, *args: str) -> tuple[int, Any]:
        capsysbinary.readouterr()
        session = Session(str(config), Output(as_json=True), site.clock, command=name)
        session.stop = Patience(site.clock)
        code = command_app(name)(args=list(args), prog_name=name, standalone_mode=False, obj=session)
        printed = capsysbinary.readouterr().out
        return code, printed if name == "cat" else json.loads(printed)

    command("init", "--root", str(site.base / "root"))
    return command


def restores(site: Site) -> int:
    """Packs that the provider was asked for."""
    return sum(stored.restore is not None for stored in site.app.objects.values())


def restorable(site: Site) -> int:
    """Packs in the archive."""
    return sum(stored.storage_class == "GLACIER" for stored in site.app.objects.values())


def send_away(site: Site, run: Run, size: int = 4_000_000) -> str:
    """Put one file into the archive and free it; returns its path."""
    path = site.base / "root" / "model.bin"
    path.write_bytes(noise(1, size))
    run("scan")
    code, _ = run("migrate", str(path), "--to", "archive", "--release", "--yes")
    assert code == 0
    return str(path)


def test_quoted_asked_hastened_and_brought_back(site: Site, run: Run) -> None:
    path = send_away(site, run)

    code, quote = run("recall", path, "--quote", "--within", "6h")

    packs = restorable(site)
    assert packs >= 3
    assert [quote[name] for name in ("files", "packs", "cold_packs", "new_packs")] == [1, packs, packs, packs]
    assert code == 0
    assert [offer["speed"] for offer in quote["offers"]] == ["bulk", "standard", "expedited"]
    assert [offer["in_time"] for offer in quote["offers"]] == [False, True, True]
    assert quote["chosen"] == quote["offers"][1]
    assert quote["budgets"] == [{"period": "day", "usd": 1.0, "usd_left": 1.0}]
    assert quote["usd_early_delete"] > 0
    assert restores(site) == 0
    assert run("status")[1]["tickets"] == []

    code, asked = run("recall", path, "--within", "13h")
    assert (code, restores(site)) == (4, packs)
    (ticket,) = run("status")[1]["tickets"]
    assert [ticket[name] for name in ("ticket", "speed", "packs", "packs_ready")] == [
        *asked["tickets"],
        "bulk",
        packs,
        0,
    ]
    assert (ticket["files"], ticket["files_waiting"], ticket["packs_wanted"]) == (1, 1, 0)
    assert ticket["ready_ns"] == site.clock.now_ns() + 12 * 3600 * 10**9

    site.run(1)
    code, faster = run("recall", "--hasten", str(ticket["ticket"]), "--speed", "expedited")
    assert (code, faster["ready_ns"]) == (4, site.clock.now_ns() + 300 * 10**9)
    site.run(0.1)
    code, done = run("recall", path, "--wait")
    assert (code, done["files_done"], done["files_skipped"]) == (0, 1, [])
    assert (site.base / "root" / "model.bin").read_bytes() == noise(1, 4_000_000)


def test_what_would_exceed_the_budget_is_refused_with_exit_code_1_and_said_by_the_quote(site: Site, run: Run) -> None:
    path = send_away(site, run)
    config = site.base / "frostline.toml"
    config.write_text(config.read_text().replace("per_day = 1.0", "per_day = 0.001"))

    _, quote = run("recall", path, "--quote", "--speed", "expedited")
    with pytest.raises(OverBudget) as refused:
        run("recall", path, "--speed", "expedited")

    assert (quote["chosen"]["speed"], quote["chosen"]["in_budget"]) == ("expedited", False)
    assert refused.value.exit_code == 1
    assert "by speed it is bulk" in refused.value.now
    assert restores(site) == 0


def test_a_range_asks_only_for_the_packs_that_it_needs(site: Site, run: Run) -> None:
    path = send_away(site, run)
    assert run("recall", path, "--quote")[1]["packs"] == restorable(site) >= 3

    _, quote = run("recall", path, "--range", "300000+1000", "--quote")
    with pytest.raises(WaitingOnRestore) as waiting:
        run("cat", path, "--range", "300000+1000")

    assert (quote["packs"], restores(site)) == (1, 1)
    with pytest.raises(WaitingOnRestore) as again:
        run("cat", path, "--range", "300000+1000")
    assert again.value.ticket == waiting.value.ticket
    code, asked = run("recall", path, "--range", "300000+1000")
    assert (code, asked["tickets"], restores(site)) == (4, [waiting.value.ticket], 1)
    code, _ = run("recall", path, "--range", "300000+1.2MiB")  # over the end of a pack, at least
    assert code == 4
    assert 1 < restores(site) < restorable(site)
    asked_for = restores(site)
    site.run(5)

    assert run("cat", path, "--range", "300000+1000") == (0, noise(1, 4_000_000)[300_000:301_000])
    code, said = run("recall", path, "--range", "300000+1000")
    assert (code, said["tickets"]) == (0, [])
    assert restores(site) == asked_for
    with pytest.raises(UsageError, match="no range"):
        run("cat", path, "--range", "5-9")


def test_a_cancelled_ticket_is_gone_from_status_and_brings_nothing_back(site: Site, run: Run) -> None:
    path = send_away(site, run)
    _, asked = run("recall", path)
    code, said = run("recall", "--cancel", str(asked["tickets"][0]))
    assert (code, said["state"]) == (0, "cancelled")
    assert run("status")[1]["tickets"] == []
    site.run(6)
    run("cycle", "--yes")
    assert (site.base / "root" / "model.bin").is_symlink()


def test_wait_stays_until_the_archive_has_given_everything_back(site: Site, run: Run) -> None:
    path = send_away(site, run)
    began_ns = site.clock.now_ns()

    code, done = run("recall", path, "--speed", "standard", "--wait")

    assert (code, done["files_done"], done["files_skipped"], done["tickets"]) == (0, 1, [], [])
    assert 5 <= (site.clock.now_ns() - began_ns) / (3600 * 10**9) < 6
    assert (site.base / "root" / "model.bin").read_bytes() == noise(1, 4_000_000)
    assert run("status")[1]["tickets"] == []
    code, done = run("recall", path, "--range", "0+10", "--wait")  # as before: these bytes are readable
    assert (code, done["tickets"]) == (0, [])


def test_wait_for_a_range_ends_when_its_bytes_can_be_read(site: Site, run: Run) -> None:
    path = send_away(site, run)
    code, done = run("recall", path, "--range", "300000+1000", "--wait")
    assert (code, done["tickets"]) == (0, [])
    assert restores(site) == 1
    assert run("cat", path, "--range", "300000+1000") == (0, noise(1, 4_000_000)[300_000:301_000])
