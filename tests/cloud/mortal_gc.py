"""A gc in a process of its own that dies at a request, by SIGKILL. Run as `python -m tests.cloud.mortal_gc JSON`.

The cloud takes the process when the request is done and billed, and before its answer is on its way.
"""

import json
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.cloud.installation import Site
from tests.cloud.kinds import kind_of
from tests.cloud.wire import Answer, Request
from tests.jobs.lab import Lab, open_lab
from tiering.clock import FakeClock
from tiering.jobs.gc import collect


def main(said: str) -> None:
    """Open the installation, say so, collect."""
    told = json.loads(said)
    with open_lab(Path(told["base"]), clock=FakeClock(told["now_ns"]), tiers=told["tiers"]) as lab:
        print("ready", flush=True)
        collect(lab.context)
        print("done", flush=True)


@dataclass(slots=True)
class Collector:
    """Runs it; what it asks of the cloud is counted from when it is ready."""

    site: Site
    lab: Lab
    child: "subprocess.Popen[str] | None" = None
    kind: str = ""
    """Of the requests that count; "" for all."""
    dies_at: int = 0
    asked: int = 0

    def watch(self, request: Request, answer: Answer) -> None:
        """Count, and kill."""
        if self.child is None or self.kind not in {"", kind_of(request)}:
            return
        self.asked += 1
        if self.asked == self.dies_at:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait()

    def run(self, *, dies_at: int = 0, kind: str = "", after_s: float = 0) -> bool:
        """Collect; die at the *dies_at*-th request, or after so long. Return whether it came to its end."""
        config = self.lab.context.config
        tiers = {name: tier.model_dump(mode="json", exclude_defaults=True) for name, tier in config.tiers.items()}
        told = {"base": str(self.lab.base), "now_ns": self.site.clock.now_ns(), "tiers": tiers}
        command = [sys.executable, "-m", "tests.cloud.mortal_gc", json.dumps(told)]
        self.asked, self.kind, self.dies_at = 0, kind, dies_at
        others, self.site.app.watch = self.site.app.watch, self.watch
        before = self.site.billed()
        try:
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                assert child.stdout.readline() == "ready\n"
                self.site.probing.update(self.site.billed())
                self.site.probing.subtract(before)
                self.child = child
                if after_s:
                    threading.Timer(after_s, child.kill).start()
                try:
                    is_done = child.stdout.read() == "done\n"
                finally:
                    self.child = None
            self.site.app.until_quiet()
            return is_done
        finally:
            self.site.app.watch = others


if __name__ == "__main__":
    main(sys.argv[1])
