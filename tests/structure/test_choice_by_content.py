"""Which codec a block gets depends on its content and one effort setting: dedup/ is handed nothing else."""

import ast
import inspect

import dedup.codecs
from dedup.blocks import RawBlock
from tests.structure.sources import PROJECT, modules_under

FOREIGN = {
    *("tier", "tiers", "storage_class", "temperature", "standard", "hot", "cold"),
    *("heat", "idle", "age", "reads", "last_read"),
    *("price", "prices", "usd", "rule", "rules", "policy", "policies"),
}
THEIR_OWN = {
    "dedup/kernels/snappy.py": {"rules"},  # by which some writer of parquet looked for matches
    "dedup/snappy.py": {"rules"},
}


def names_handed_in(source: str) -> set[str]:
    """Return the names of all parameters and fields in *source*, split into words."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def test_dedup_is_handed_neither_tier_nor_heat_nor_price_nor_rule() -> None:
    for path in modules_under("dedup"):
        names = names_handed_in((PROJECT / path).read_text(encoding="utf-8"))
        words = names | {word for name in names for word in name.split("_")}
        foreign = words & FOREIGN - THEIR_OWN.get(str(path), set())
        assert not foreign, f"{path} is handed {sorted(foreign)}"


def test_a_codec_is_chosen_by_content_and_effort() -> None:
    """Whoever codes a block can say no more than this."""
    assert set(inspect.signature(dedup.codecs.encode).parameters) == {"data", "kind", "element", "effort"}
    assert set(inspect.signature(dedup.codecs.encode_against).parameters) == {
        "data",
        "base",
        "element",
        "base_element",
        "effort",
        "solo",
    }
    assert set(RawBlock.__dataclass_fields__) == {"raw", "chunks", "kind", "element", "origin", "base", "is_stored"}
