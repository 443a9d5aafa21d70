"""Chains of chunks, each with the next as its base. They are stored raw: what is under test is how bases are followed,
not how a codec uses them.
"""

from dataclasses import dataclass, field

from dedup.assemble import StoredChunk
from dedup.fingerprint import digest
from dedup.values import Digest


@dataclass
class Chain:
    """Links by digest; the wanted one first."""

    wanted: Digest
    raw: bytes
    links: dict[Digest, StoredChunk]
    asked: list[Digest] = field(default_factory=list)

    def find(self, name: Digest) -> StoredChunk:
        self.asked.append(name)
        return self.links[name]

    def damage_the_last(self) -> None:
        """Let the undermost base hold other bytes than its digest names."""
        name, link = next((name, link) for name, link in self.links.items() if link.base is None)
        self.links[name] = StoredChunk(link.codec, b"x" * link.raw_len, link.raw_len, 0, link.raw_len, None)


def chain(depth: int) -> Chain:
    """Return a chunk with *depth* bases below it."""
    links: dict[Digest, StoredChunk] = {}
    base: Digest | None = None
    raw = b""
    for number in range(depth + 1):
        raw = b"link %d of a chain" % number
        links[digest(raw)] = StoredChunk("raw", raw, len(raw), 0, len(raw), base)
        base = digest(raw)
    return Chain(digest(raw), raw, links)
