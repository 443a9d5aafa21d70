"""frostlined: the process of the frostline service. Arguments, signals, readiness, exit code; nothing else.

`frostlined [--config FILE]` or `python daemon.py`. The first SIGTERM or SIGINT drains, the second stops at once; SIGHUP
reads the configuration again. Exit codes are those of the command line: 0 drained, 2 configuration, 75 try again.
"""

import argparse
import os
import queue
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from tiering.app.memory import keep_memory_small
from tiering.clock import SystemClock
from tiering.config import find_config, load_config
from tiering.errors import FrostlineError
from tiering.hot.lease import ignore_sigio
from tiering.logs import open_log
from tiering.service.run import Ask, Service, Surroundings
from tiering.service.sd_notify import Supervisor

STOPPED_AT_ONCE = 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run the service and exit with its code."""
    parser = argparse.ArgumentParser(prog="frostlined", description="The frostline service; see docs/cli.md.")
    parser.add_argument("--config", help="else $FROSTLINE_CONFIG, /etc/frostline/frostline.toml or the user's")
    sys.exit(serve(find_config(parser.parse_args(argv).config)))


def serve(config_path: str) -> int:
    """Serve until told to stop; return the exit code. What makes starting impossible has been said on stderr."""
    ignore_sigio()
    keep_memory_small()
    try:
        config = load_config(config_path).config
        log = open_log(level=config.logs.level, format=config.logs.format)
        asks: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        listen(asks)
        Service(config_path, config, Surroundings(SystemClock(), log, Supervisor(), asks)).run()
    except FrostlineError as error:
        print(error.sentence(), file=sys.stderr)  # noqa: T201  # before there is a log, and read by the same journal
        return error.exit_code
    return 0


def listen(asks: "queue.SimpleQueue[Ask]") -> None:
    """Turn signals into asks; a second request to stop ends the process where it stands, which is safe (P4)."""
    stopping: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if stopping:
            os._exit(STOPPED_AT_ONCE)
        stopping.append(number)
        asks.put(Ask.STOP)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, lambda number, frame: asks.put(Ask.RELOAD))


if __name__ == "__main__":
    main()
