"""A process of its own that tends packs and is killed at a request, or at some moment. Run as
`python -m tests.cloud.mortal JSON`; `Mortal` is what the test has of it.

Two ways to die at the n-th request: the kernel takes the process before it is sent, or the cloud takes it once the
request is done and billed and before the answer is on its way. Requests of opening the installation do not count.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.httpsession import URLLib3Session

from tests.cloud.installation import Site
from tests.cloud.kinds import kind_of
from tests.cloud.wire import Answer, Request
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import rows
from tiering.catalog.values import FileState
from tiering.clock import FakeClock
from tiering.jobs import mover

GOING = (b"cold/one", b"mixed/one")


def tend(lab: Lab) -> None:
    """Send GOING to the archive, then look after all packs: class changes and rewritings."""
    known = rows(lab)
    going = [known[path] for path in GOING if known[path].state is FileState.OFFLINE]
    mover.move(lab.context, going, "archive", reason="test")
    mover.tend_packs(lab.context)


def die() -> None:
    """End as if the power went."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(said: str) -> None:
    """Open the installation, say so, tend packs, die where that was asked for."""
    told = json.loads(said)
    with open_lab(Path(told["base"]), clock=FakeClock(told["now_ns"]), tiers=told["tiers"], **told["changes"]) as lab:
        print("ready", flush=True)
        if told["before"]:
            _die_before(told["before"])
        if told["after_s"]:
            threading.Timer(told["after_s"], die).start()
        tend(lab)
        print("done", flush=True)


def _die_before(number: int) -> None:
    send: Callable[..., Any] = URLLib3Session.send
    count = 0

    def counted(session: URLLib3Session, request: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            die()
        return send(session, request)

    URLLib3Session.send = counted  # botocore's, in a process that is to die


@dataclass(slots=True)
class Mortal:
    """Runs it, and counts what is asked of the cloud meanwhile."""

    site: Site
    lab: Lab
    """Of the test's own process; its configuration is the child's."""
    asked: Counter[str] = field(default_factory=Counter)
    """kind -> requests for packs, of all processes since this was made."""
    read_bytes: int = 0
    """Of packs."""
    total: int = 0
    """Requests of the child for anything, once it was ready."""
    in_flight: str = ""
    """Kind of the request at which it was killed."""
    _child: "subprocess.Popen[str] | None" = None
    _dies_at: int = 0
    _dies_of: str = ""
    _also: Callable[[Request, Answer], None] | None = None

    def __post_init__(self) -> None:
        """Watch the cloud, beside whoever does."""
        self._also = self.site.app.watch
        self.site.app.watch = self.watch

    def watch(self, request: Request, answer: Answer) -> None:
        """Count, and kill."""
        if self._also is not None:
            self._also(request, answer)
        kind = kind_of(request)
        if request.key.startswith("packs/"):
            self.asked[kind] += 1
            self.read_bytes += len(answer.body) if kind == "get" else 0
        if self._child is not None:
            self.total += not self._dies_of or (kind == self._dies_of and request.key.startswith("packs/"))
            if self.total == self._dies_at and kind == (self._dies_of or kind):
                self.in_flight = kind
                self._child.send_signal(signal.SIGKILL)
                self._child.wait()

    def run(self, *, before: int = 0, lost: int = 0, lost_kind: str = "", after_s: float = 0) -> bool:
        """Run the child to its end, whichever; return whether it came to the end of its work.

        It dies before its *before*-th request is sent, while the answer to the *lost*-th (of those of *lost_kind* for
        packs, where given) is on its way, or after so long.
        """
        config = self.lab.context.config
        told = {
            "base": str(self.lab.base),
            "now_ns": self.site.clock.now_ns(),
            "tiers": {name: tier.model_dump(mode="json", exclude_defaults=True) for name, tier in config.tiers.items()},
            "changes": {"chunking": {"pack_bytes": config.chunking.pack_bytes}},
            "before": before,
            "after_s": after_s,
        }
        command = [sys.executable, "-m", "tests.cloud.mortal", json.dumps(told)]
        self.total, self._dies_at, self._dies_of = 0, lost, lost_kind
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            self._child = child
            try:
                is_done = child.stdout.read() == "done\n"
            finally:
                self._child = None
        self.site.app.until_quiet()
        return is_done


if __name__ == "__main__":
    main(sys.argv[1])
