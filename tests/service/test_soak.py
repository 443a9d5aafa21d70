"""A daemon that runs for months holds no more than one that has run for a day."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from tests.service.soak import AWAY_EVERY, KEPT_FILES

PROJECT = Path(__file__).resolve().parents[2]
ROUNDS = 80
WARM = 30  # by then everything was loaded, every kind of trouble met, and each connection's pages have been read
SPAN = AWAY_EVERY  # rounds that are taken together: one with the store away among them


def growth(rounds: list[dict[str, int]], what: str) -> float:
    """Return how much more there was in the last rounds than after warming up."""
    after, last = rounds[WARM : WARM + SPAN], rounds[-SPAN:]
    return median(held[what] for held in last) - median(held[what] for held in after)


@pytest.mark.heavy
def test_what_a_daemon_holds_does_not_grow_with_its_rounds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.service.soak", str(tmp_path / "site"), str(ROUNDS)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "_bug" not in done.stderr
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rounds) == ROUNDS
    for state in ("regular", "dual", "offline"):
        assert any(held.get(state) for held in rounds[WARM:]), f"files were {state}"
    assert sum(rounds[-1].get(state, 0) for state in ("regular", "dual", "offline")) <= 2 * KEPT_FILES
    # 43 rounds: half a megabyte kept of each would be seen; SQLite's pages of a catalog that grows are fewer.
    assert growth(rounds, "anonymous_kib") < 20 << 10
    assert growth(rounds, "objects") < 2000, "less than 50 a round"
    assert growth(rounds, "threads") <= 0
    assert growth(rounds, "descriptors") <= 0
