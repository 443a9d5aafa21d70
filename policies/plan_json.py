"""Plans as JSON, for people, programs and `apply`: to it and back unchanged."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from sys import intern
from typing import Any

from policies.amounts import NANO
from policies.cost import break_even_days
from policies.moving import MoveQuote
from policies.plan import (
    NO_QUOTE,
    Action,
    ActionKind,
    BudgetReport,
    EnergyReport,
    HotReport,
    MoveReport,
    Plan,
    Refusal,
    Totals,
)
from policies.values import FileIdentity, Residency, raw, text

FORMAT = 3


class PlanError(ValueError):
    """A saved plan is not one, or was written by another version. The message names the field."""


def to_json(plan: Plan) -> dict[str, Any]:
    """Return plain JSON values; from_json() of them equals *plan*. The usd_ fields are for readers."""
    return {key: list(value) if isinstance(value, map) else value for key, value in _fields(plan)}


def to_text(plan: Plan, **more: object) -> Iterator[str]:
    """Yield to_json() as one JSON document, an action a line, and never hold it; *more* are further keys."""
    before = "{\n"
    for key, value in (*_fields(plan), *more.items()):
        yield f"{before}{json.dumps(key)}: "
        before = ",\n"
        if not isinstance(value, map):
            yield json.dumps(value)
            continue
        between = "[\n"
        for item in value:
            yield between + json.dumps(item)
            between = ",\n"
        yield "]" if between == ",\n" else "[]"
    yield "\n}\n"


def from_text(document: str) -> Plan:
    """Return the plan of a JSON document. Raises PlanError, or ValueError for what is not JSON.

    Each action is made as it is read: they are never all there as JSON values.
    """
    return from_json(json.loads(document, object_hook=_read))


def from_json(data: Mapping[str, Any]) -> Plan:
    """Return the plan that to_json() made these of. Raises PlanError."""
    try:
        if data["format"] != FORMAT:
            raise PlanError(f"the plan has format {data['format']!r}; this program reads {FORMAT}")
        return Plan(
            made_ns=int(data["made_ns"]),
            catalog_id=str(data["catalog_id"]),
            price_book=str(data["price_book"]),
            refundable=bool(data["refundable"]),
            actions=tuple(map(_action_from_json, data["actions"])),
            refused=tuple(map(_refusal_from_json, data["refused"])),
            totals=_totals_from_json(data["totals"]),
            hot=tuple(HotReport(**(item | {"roots": tuple(item["roots"])})) for item in data["hot"]),
            budgets=tuple(BudgetReport(**item) for item in data["budgets"]),
            moves=tuple(_moves_from_json(item) for item in data["moves"]),
            energy=EnergyReport(**data["energy"]),
            warnings=tuple(str(warning) for warning in data["warnings"]),
            notes=tuple(str(note) for note in data["notes"]),
        )
    except KeyError as error:
        raise PlanError(f"not a saved plan: {error.args[0]} is missing") from error
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, PlanError) else PlanError(f"not a saved plan: {error}") from error


def _fields(plan: Plan) -> Iterator[tuple[str, Any]]:
    """Yield the keys of to_json() with their values, in order; long lists are made as they are asked for."""
    yield "format", FORMAT
    yield "made_ns", plan.made_ns
    yield "catalog_id", plan.catalog_id
    yield "price_book", plan.price_book
    yield "refundable", plan.refundable
    yield "actions", map(_action_to_json, plan.actions)
    yield "refused", map(_refusal_to_json, plan.refused)
    yield "totals", totals_to_json(plan.totals)
    yield "hot", [asdict(report) | {"roots": list(report.roots)} for report in plan.hot]
    yield "budgets", [asdict(report) for report in plan.budgets]
    yield "moves", [_moves_to_json(report) for report in plan.moves]
    yield "energy", asdict(plan.energy)
    yield "warnings", list(plan.warnings)
    yield "notes", list(plan.notes)


def _moves_to_json(report: MoveReport) -> dict[str, Any]:
    quote = report.quote
    days = break_even_days(saved_nano_month=quote.saved_nano_month, once_nano=quote.once_nano)
    return {
        "source": report.source,
        "target": report.target,
        "files": report.files,
        "usd_once": quote.once_nano / NANO,
        "usd_per_month_saved": quote.saved_nano_month / NANO,
        "break_even_days": None if math.isinf(days) else round(days, 2),
        "quote": asdict(quote),
        "packs": [list(pack) for pack in report.packs],
    }


def _moves_from_json(item: Mapping[str, Any]) -> MoveReport:
    return MoveReport(
        source=str(item["source"]),
        target=str(item["target"]),
        files=int(item["files"]),
        quote=MoveQuote(**item["quote"]),
        packs=tuple((int(number), str(way)) for number, way in item["packs"]),
    )


def _action_to_json(action: Action) -> dict[str, Any]:
    identity = action.identity
    return {
        "path": action.path,
        "action": str(action.kind),
        "target": action.target,
        "reason": action.reason,
        "size_bytes": action.size_bytes,
        "usd_per_month_saved": action.saved_nano_month / NANO,
        "usd_once": action.once_nano / NANO,
        **({"source": action.source, "quote": asdict(action.quote)} if action.kind is ActionKind.MOVE else {}),
        "root": action.root,
        "dir": text(action.dir),
        "name": text(action.name),
        "residency": str(action.residency),
        "rule": action.rule,
        "saved_nano_month": action.saved_nano_month,
        "once_nano": action.once_nano,
        "identity": {
            "dev": identity.dev, "ino": identity.ino, "mtime_ns": identity.mtime_ns, "ctime_ns": identity.ctime_ns,
        },
    }  # fmt: skip


def _read(item: dict[str, Any]) -> object:
    """Return what a JSON object of a plan stands for, where that is an action or a refusal of this format."""
    try:
        if "identity" in item:
            return _action_from_json(item)
        if "cause" in item:
            return _refusal_from_json(item)
    except (KeyError, TypeError, ValueError):
        pass  # from_json() finds it again, and says what it lacks
    return item


def _action_from_json(item: Mapping[str, Any] | Action) -> Action:
    if isinstance(item, Action):
        return item
    found = item["identity"]
    return Action(
        kind=ActionKind(item["action"]),
        root=intern(str(item["root"])),
        dir=raw(item["dir"]),
        name=raw(item["name"]),
        identity=FileIdentity(
            dev=int(found["dev"]),
            ino=int(found["ino"]),
            size_bytes=int(item["size_bytes"]),
            mtime_ns=int(found["mtime_ns"]),
            ctime_ns=int(found["ctime_ns"]),
        ),
        residency=Residency(item["residency"]),
        target=intern(str(item["target"])),
        rule=intern(str(item["rule"])),
        reason=intern(str(item["reason"])),
        saved_nano_month=int(item["saved_nano_month"]),
        once_nano=int(item["once_nano"]),
        source=str(item.get("source", "")),
        quote=MoveQuote(**item["quote"]) if "quote" in item else NO_QUOTE,
    )


def _refusal_to_json(refusal: Refusal) -> dict[str, Any]:
    return {
        "path": refusal.path,
        "root": refusal.root,
        "dir": text(refusal.dir),
        "name": text(refusal.name),
        "size_bytes": refusal.size_bytes,
        "target": refusal.target,
        "rule": refusal.rule,
        "cause": refusal.cause,
        "reason": refusal.reason,
    }


def _refusal_from_json(item: Mapping[str, Any] | Refusal) -> Refusal:
    if isinstance(item, Refusal):
        return item
    return Refusal(
        root=str(item["root"]),
        dir=raw(item["dir"]),
        name=raw(item["name"]),
        size_bytes=int(item["size_bytes"]),
        target=str(item["target"]),
        rule=str(item["rule"]),
        cause=str(item["cause"]),
        reason=str(item["reason"]),
    )


_SUMS = (
    "files_seen", "migrate_files", "migrate_bytes", "premigrate_files", "premigrate_bytes", "release_files",
    "release_bytes", "move_files", "move_bytes", "refused_files", "refused_bytes", "unknown_access_files",
    "saved_nano_month", "once_nano",
)  # fmt: skip


def totals_to_json(totals: Totals) -> dict[str, Any]:
    """Return the totals of to_json()."""
    return {
        **{name: getattr(totals, name) for name in _SUMS},
        "usd_per_month_saved": totals.saved_nano_month / NANO,
        "usd_once": totals.once_nano / NANO,
        "bytes_to": dict(totals.bytes_to),
        "refused_by_cause": dict(totals.refused_by_cause),
    }


def _totals_from_json(item: Mapping[str, Any]) -> Totals:
    return Totals(
        **{name: int(item[name]) for name in _SUMS},
        bytes_to={str(tier): int(size) for tier, size in item["bytes_to"].items()},
        refused_by_cause={str(cause): int(count) for cause, count in item["refused_by_cause"].items()},
    )
