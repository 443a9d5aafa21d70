"""Errors of the data path. tiering/ turns them into its own sentences with the object's name.

Used by every room of dedup/; knows nothing of files, stores or exit codes.
"""


class DedupError(ValueError):
    """Base: bytes are not what their format or digest says."""


class FormatError(DedupError):
    """A stored structure is malformed, truncated, or of an unknown version."""


class CorruptChunk(DedupError):
    """A chunk decodes to other bytes than its digest names, or does not decode."""


class UnknownName(DedupError):
    """A stored algorithm name (chunker, codec, fingerprint) is not in the registry."""


class ShortRead(DedupError):
    """A source ended before the size it announced: it is being changed."""
