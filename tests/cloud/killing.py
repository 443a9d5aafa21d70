"""A lake on which child processes work, which the cloud kills in the middle of a request of the test's choice."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from policies.prices import PriceBook
from tests.cloud.lake import Lake, open_lake
from tiering.catalog import stores
from tiering.config.sample import render_config

_TWO = (
    "import sys; from tiering.cli.dispatch import run; "
    "sys.exit(run(sys.argv[1:3] + ['buckets', 'scan']) or run(sys.argv[1:]))"
)


@dataclass(slots=True)
class Killer:
    """Counts the requests that come for the lake, and kills whoever asks at one of them."""

    lake: Lake
    config: Path
    process: subprocess.Popen[bytes] | None = None
    at: int = 0
    """Number of the request at which to kill; 0: none."""
    before: bool = False
    """Before it is done, else after, its answer lost."""
    count: int = 0
    succeeded: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(kind, key) -> requests that were done."""

    def decide(self, kind: str, letter: str, request: Any, environ: Any) -> Any:
        """Stand in front of Cloud._decide."""
        is_ours = request.bucket == "lake" and environ.get("HTTP_USER_AGENT", "").find("app/frostline") >= 0
        self.count += is_ours
        is_due = is_ours and self.count == self.at
        if is_due and self.before:
            self._kill()
        answer = self._answer(kind, letter, request, environ)
        if is_ours and answer.is_ok:
            self.succeeded[kind, request.key] += 1
        if is_due:
            self._kill()
        return answer

    def _kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)

    def _answer(self, kind: str, letter: str, request: Any, environ: Any) -> Any:
        return type(self.lake.app)._decide(self.lake.app, kind, letter, request, environ)

    def run(self, *args: str, at: int = 0, before: bool = False) -> int:
        """Scan and run a command in a child, killed at a request if *at* is not 0; return its exit code."""
        self.at, self.before, self.count = at, before, 0
        command = [sys.executable, "-c", _TWO, "--config", str(self.config), *args]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        _, said = self.process.communicate(timeout=300)
        self.lake.app.until_quiet()
        was_killed = self.process.returncode == -signal.SIGKILL
        assert was_killed or self.process.returncode == 0, f"exit {self.process.returncode}: {said.decode()}"
        assert was_killed == bool(at and self.count >= at), "it ended before, or in spite of, the kill"
        return self.process.returncode


@contextmanager
def killing(base: Path, book: PriceBook, settings: Mapping[str, Any], rules: Any) -> Iterator[Killer]:
    """Give a lake whose packs are files, and the way to work on it from outside."""
    tiers = {"standard": {"store": f"file://{base}/store"}}
    with open_lake(base, book, rules, settings, tiers=tiers) as lake:
        config = base / "frostline.toml"
        config.write_text(render_config(lake.lab.context.config))
        probed = json.dumps(asdict(lake.lab.context.metadata.capabilities))
        with lake.lab.catalog.write() as tx:
            for row in stores.every(tx):
                stores.put(tx, replace(row, capabilities=probed))
        killer = Killer(lake, config)
        lake.app._decide = killer.decide  # type: ignore[method-assign]  # a stand-in that asks the real one
        yield killer
