"""Checkpoints whose weights come back: a run that was rolled back, stored step by step. No chain closes on itself."""

import io
import os
from functools import cache
from pathlib import Path

import pytest

from tests.jobs.lab import Lab
from tests.jobs.outbound import books_balance, items, learn, states
from tests.jobs.rebuilding import lose_catalog, rebuilt, restored_by_script
from tests.jobs.test_references import step as made
from tiering.catalog.values import FileState
from tiering.jobs.audit import audit
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.restore import cat

step = cache(made)


def store_all(lab: Lab) -> None:
    """Learn what is new and store it; the books must balance."""
    learn(lab)
    report = migrate(lab.context, items(lab))
    assert report.files_skipped == ()
    assert set(states(lab).values()) == {FileState.DUAL}
    books_balance(lab)


def shown(lab: Lab, name: str) -> bytes:
    """What `cat` gives."""
    taken = io.BytesIO()
    cat(lab.context, os.fspath(lab.root / name), taken)
    return taken.getvalue()


@pytest.mark.parametrize("order", [(1, 2, 1), (1, 2, 3, 1), (2, 1, 2, 2, 1)])
@pytest.mark.parametrize("is_collected", [False, True])
def test_p7_weights_that_come_back_are_readable_at_every_step(
    lab: Lab, order: tuple[int, ...], is_collected: bool, tmp_path: Path
) -> None:
    stored = {}
    for number, content in enumerate(order, start=1):
        name = f"run/model_{number:05}.safetensors"
        stored[name] = step(content)
        lab.write(name, stored[name])
        store_all(lab)
        for _ in range(3 * is_collected):
            collect(lab.context)
            lab.clock.advance(1)
        for path, data in stored.items():
            assert shown(lab, path) == data, (number, path)
        assert audit(lab.context).ok
    copies = restored_by_script(lab, tmp_path)
    for path, data in stored.items():
        assert (copies / path).read_bytes() == data, path
    with lose_catalog(lab) as (empty, catalog):
        rebuilt(empty, catalog)
        for path, data in stored.items():
            assert shown(empty, path) == data, path
