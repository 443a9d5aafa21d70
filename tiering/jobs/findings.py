"""What a check found: sentences, counted in full and listed up to a limit."""

from collections.abc import Iterable
from dataclasses import dataclass, field

LISTED = 1000  # beyond that a list is not read any more; the count says how many there are


@dataclass(slots=True)
class Findings:
    """Discrepancies and notes, in the order they were met."""

    sentences: list[str] = field(default_factory=list)
    count: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        """Note one discrepancy."""
        self.count += 1
        if len(self.sentences) < LISTED:
            self.sentences.append(sentence)

    def add_all(self, sentences: Iterable[str]) -> None:
        """Note several."""
        for sentence in sentences:
            self.add(sentence)

    def note(self, sentence: str) -> None:
        """Note what is no discrepancy."""
        if len(self.notes) < LISTED:
            self.notes.append(sentence)
