"""What commands that change things start from. Apart from tiering.cli.session because it loads every job.

Commands that only look must be quick to start.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tiering.app import acting as app_acting
from tiering.cli.session import Session
from tiering.jobs.context import Context


@contextmanager
def acting(session: Session) -> Iterator[Context]:
    """Give the installation, its stores' ownership checked, with what dead processes left put right first."""
    with session.reading() as context, app_acting.acting(context):
        yield context
