"""What a rebuild could not recover, a sentence each: all are counted, the first are told."""

from collections.abc import Iterable

LISTED = 1000  # as a scan lists them; a store in which every pack is damaged says 300,000 for 10 TB


class Problems:
    """Takes sentences; memory does not grow with what is damaged."""

    __slots__ = ("count", "listed")

    def __init__(self) -> None:
        """Begin with none."""
        self.count = 0
        self.listed: list[str] = []
        """The first LISTED of them."""

    def add(self, sentence: str) -> None:
        """Note one."""
        self.count += 1
        if len(self.listed) < LISTED:
            self.listed.append(sentence)

    def extend(self, sentences: Iterable[str]) -> None:
        """Note several."""
        for sentence in sentences:
            self.add(sentence)
