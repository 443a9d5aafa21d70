"""What a stored codec's name means, in words: for people who ask what became of their file."""

_OF_CODEC = {
    "raw": "as it is: it does not shrink",
    "zstd": "one zstd frame at level {}, with neighbours of its kind",
    "planes-1": "{} numbers: bytes of equal weight together, each plane coded as it shrinks most",
    "sections-1": "numbers whose width and place were found by looking, in planes",
    "delta-1": "{} numbers: the difference to the same tensor of a stored model, sorted by that one's exponents",
    "context-1": "{} numbers: sorted by the exponents of a tensor they go with",
    "cast-1": "{} numbers that are exactly a stored fp32 tensor, rounded: nothing of their own is kept",
    "snappy-page": "pages stored plain; the writer's own bytes are made again on the way out",
}


def in_words(codec: str) -> str:
    """Return what *codec*, a stored name, does; the name itself for one that is not known here."""
    name, _, rest = codec.partition(":")
    words = _OF_CODEC.get(name)
    if words is None:
        return codec
    return words.format(rest or "unnamed")
