"""Records what a block prints."""

import io
from contextlib import redirect_stdout
from types import TracebackType
from typing import Self


class Recorded:
    """`with Recorded() as seen: ...`, then `seen.text`."""

    def __init__(self) -> None:
        """Record nothing yet."""
        self._out = io.StringIO()
        self._redirect = redirect_stdout(self._out)

    def __enter__(self) -> Self:
        """Begin."""
        self._redirect.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._redirect.__exit__(kind, error, trace)

    @property
    def text(self) -> str:
        """What was printed."""
        return self._out.getvalue()
