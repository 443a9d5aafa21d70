"""Which storages a recorded torch pickle refers to, and the dotted name each hangs at.

Used by dedup.formats.torch_zip and torch_legacy on what dedup.formats.pickles recorded. Names come from dictionary
keys and list positions: "model.h.0.attn.weight", "optimizer.state.3.exp_avg"; a pickled module's `_modules` and
`_parameters` are left out, so that it is named as its state_dict would be. A storage that several tensors share
(views, tied weights) takes the first name.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dedup.formats.covering import LONGEST_NAME
from dedup.formats.elements import TORCH_STORAGES, TORCH_TYPES
from dedup.formats.pickles import Global, Made, Mapping, Persistent
from dedup.formats.reading import Doubt

# Every node is visited once; a pickle of MOST_STEPS steps has no more nodes than that.
MOST_VISITS = 1_000_000
_INNER_NAMES = {"_modules", "_parameters", "_buffers"}


@dataclass(frozen=True, slots=True)
class Storage:
    """What the pickle says of one storage."""

    element: str
    """As in dedup.values.Region; "" where it is not known."""
    name: str
    """Dotted, at most LONGEST_NAME characters."""


def storages_of(value: object) -> dict[str, Storage]:
    """Return the storages that *value* refers to, by storage key. Cycles and shared parts are walked once; raises
    Doubt beyond MOST_VISITS.
    """
    found: dict[str, Storage] = {}
    seen: set[int] = set()
    pending: list[tuple[object, str, str]] = [(value, "", "")]
    visits = 0
    while pending:
        node, path, hint = pending.pop()
        visits += 1
        if visits > MOST_VISITS:
            raise Doubt("pickle has too many parts")
        if isinstance(node, Persistent):
            _record(node, path, hint, found)
        elif isinstance(node, Made | Mapping | list | tuple) and id(node) not in seen:
            seen.add(id(node))
            pending += reversed(list(_children(node, path, hint)))
    return found


def _record(node: Persistent, path: str, hint: str, found: dict[str, Storage]) -> None:
    pid = node.pid
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
        return
    kind, key = pid[1], pid[2]
    if not isinstance(key, str | int):
        return
    element = TORCH_STORAGES.get(kind.name, hint) if isinstance(kind, Global) else hint
    found.setdefault(str(key), Storage(element, path))


def _children(node: Made | Mapping | list[object] | tuple[object, ...], path: str, hint: str) -> Iterator[
    tuple[object, str, str]
]:  # fmt: skip
    if isinstance(node, Mapping):
        yield from _entries(node.items, path)
    elif isinstance(node, Made):
        for part in node.parts:
            # The arguments of a call are not a level of names; a list that was handed over is.
            if isinstance(part, tuple):
                hint = _type_among(part) or hint
                yield from ((item, path, hint) for item in part)
            else:
                yield part, path, hint
        yield from _entries(node.items or [], path)
    else:
        yield from ((item, _below(path, str(index)), hint) for index, item in enumerate(node))


def _entries(items: list[object], path: str) -> Iterator[tuple[object, str, str]]:
    for index in range(0, len(items) - 1, 2):
        key = items[index]
        named = isinstance(key, str | int) and key not in _INNER_NAMES
        yield items[index + 1], _below(path, str(key)) if named else path, ""


def _type_among(arguments: tuple[object, ...]) -> str:
    """Return the element of a torch.dtype among a call's arguments: how untyped storages are typed."""
    for argument in arguments:
        if isinstance(argument, Global) and argument.module == "torch":
            return TORCH_TYPES.get(argument.name, "")
    return ""


def _below(path: str, key: str) -> str:
    if len(path) >= LONGEST_NAME:
        return path
    return (f"{path}.{key[:LONGEST_NAME]}" if path else key)[:LONGEST_NAME]
