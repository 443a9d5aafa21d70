"""Saved plans: written, read, and held against the catalog and the disk before they are carried out (P9).

check_plan() returns exactly the items that the jobs are to do, and what drifted, with reasons. Used by apply, which
also carries out the plans of a cycle.
"""

import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from policies.globs import matches
from policies.plan import Action, ActionKind, Plan
from policies.plan_json import PlanError, from_text, to_text
from policies.values import FileIdentity, Residency
from tiering.catalog import files
from tiering.catalog.values import FileRow, FileState, signed64
from tiering.config import RootConfig
from tiering.config.hints import read_hints
from tiering.config.policy import Hint
from tiering.errors import UsageError
from tiering.hot import paths
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.items import MigrateItem
from tiering.jobs.reports import Skip, Skips

CHECK_ROWS = 500

_STATE_OF = {
    Residency.REGULAR: FileState.REGULAR,
    Residency.DUAL: FileState.DUAL,
    Residency.OFFLINE: FileState.OFFLINE,
}


@dataclass(frozen=True, slots=True)
class CheckedPlan:
    """What is left to do of a plan, exactly as planned."""

    migrate: tuple[MigrateItem, ...]
    """Copied out first, then released with the others."""
    ahead: tuple[MigrateItem, ...]
    """Copied out and left hot."""
    release: tuple[MigrateItem, ...]
    """Of files that are stored already."""
    move: tuple[MigrateItem, ...]
    """Stored files whose copies go to a colder tier."""
    packs: Mapping[int, str]
    """Packs that go with them, and no others: number -> what becomes of it."""
    drifted: Skips
    """Actions that no longer fit their file: refused, not adapted."""


def save_plan(plan: Plan, path: str) -> None:
    """Write the plan as JSON; the file is whole and durable on return, or not there. Raises UsageError."""
    asked, path = path, os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        # A device, a pipe, a folder: putting a file in its place would take it away.
        raise UsageError(f"the plan cannot be written to {asked}: it is no file", now="no plan was saved")
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".{os.path.basename(path)}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "x", encoding="ascii") as out:
            out.writelines(to_text(plan))
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        _unlink(temporary)
        if not isinstance(error, OSError):
            raise
        raise UsageError(f"the plan cannot be written to {asked}: {error.strerror}", now="no plan was saved") from error


def load_plan(path: str) -> Plan:
    """Return a saved plan. Raises UsageError when it cannot be read or is none."""
    try:
        with open(path, encoding="utf-8") as source:
            return from_text(source.read())
    except OSError as error:
        raise UsageError(f"the plan {path} cannot be read: {error.strerror}", now="nothing was done") from error
    except (PlanError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path} is not a saved plan: {error}", now="nothing was done", hint="frostline plan --save FILE"
        ) from error


def check_plan(ctx: Context, plan: Plan) -> CheckedPlan:
    """Return what is still to be done, exactly as planned; actions whose file has changed are refused.

    Raises UsageError when the plan was made from another catalog. Changes nothing.
    """
    if plan.catalog_id != ctx.catalog_id:
        raise UsageError(
            "the plan was made from another catalog", now="nothing was done", hint="make a new one: frostline plan"
        )
    roots = {root.name: root for root in ctx.roots}
    found: dict[ActionKind, list[MigrateItem]] = {kind: [] for kind in ActionKind}
    hints = read_hints(ctx.config, ctx.clock.now_ns())
    drifted = Skips()
    for action, row in _with_rows(ctx, plan.actions, roots):
        root = roots.get(action.root)
        drift = _hinted(action, hints) or _drift(ctx, action, row, root)
        if drift or root is None:
            shown = action.path if root is None else os.fsdecode(os.path.join(root.path, action.dir, action.name))
            drifted.add(shown, drift, Skip.CHANGED)
            continue
        item = MigrateItem(root.root_id, action.dir, action.name, action.target, f"rule {action.rule}")
        found[action.kind].append(item)
    return CheckedPlan(
        tuple(found[ActionKind.MIGRATE]),
        tuple(found[ActionKind.PREMIGRATE]),
        tuple(found[ActionKind.RELEASE]),
        tuple(found[ActionKind.MOVE]),
        dict(pack for report in plan.moves for pack in report.packs),
        drifted,
    )


def _settings_of(ctx: Context, root: OpenRoot) -> RootConfig | None:
    return next((settings for settings in ctx.config.roots if settings.name == root.name), None)


def _with_rows(
    ctx: Context, actions: Iterable[Action], roots: Mapping[str, OpenRoot]
) -> Iterator[tuple[Action, FileRow | None]]:
    batch: list[Action] = []
    for action in actions:
        batch.append(action)
        if len(batch) == CHECK_ROWS:
            yield from _rows_of(ctx, batch, roots)
            batch = []
    yield from _rows_of(ctx, batch, roots)


def _rows_of(
    ctx: Context, batch: Sequence[Action], roots: Mapping[str, OpenRoot]
) -> list[tuple[Action, FileRow | None]]:
    found: list[tuple[Action, FileRow | None]] = []
    with ctx.catalog.read() as tx:
        for action in batch:
            root = roots.get(action.root)
            row = None if root is None else files.get(tx, root.root_id, action.dir, action.name)
            found.append((action, row))
    return found


def _hinted(action: Action, hints: Sequence[Hint]) -> str:
    """Return why a hint holds the file back, "" if none does."""
    for hint in hints:
        here = not hint.roots or action.root in hint.roots
        if here and any(matches(pattern, action.path) for pattern in hint.match):
            return f"{hint.name} keeps it hot since: {hint.reason}"
    return ""


def _drift(ctx: Context, action: Action, row: FileRow | None, root: OpenRoot | None) -> str:
    """Return why the action no longer fits, "" if it does."""
    if root is None:
        return f"its root {action.root} is not configured any more"
    settings = _settings_of(ctx, root)
    if settings is not None and settings.read_only:
        return "its root is read-only"
    if row is None:
        return "the catalog does not know it any more"
    stands_on = {ActionKind.RELEASE: action.target, ActionKind.MOVE: action.source}.get(action.kind, "")
    checks: tuple[tuple[Callable[[], bool], str], ...] = (
        (lambda: row.state is _STATE_OF.get(action.residency), f"it is {row.state} now, not {action.residency}"),
        (lambda: row.is_leader, "it has become a further name of another file"),
        (lambda: not row.pinned, "it has been pinned since"),
        (
            lambda: action.kind is ActionKind.RELEASE or action.target in ctx.tiers,
            f'there is no tier "{action.target}" any more',
        ),
        (
            lambda: row.tier == stands_on or not stands_on,
            f"its stored copy is on {row.tier} now, not on {stands_on}",
        ),
        (lambda: _identity_of(row) == action.identity, "it was changed since the plan was made"),
        (
            lambda: action.residency is Residency.OFFLINE or _on_disk(root, action) == action.identity,
            "it was changed on the disk since the last scan",
        ),
    )
    return next((reason for holds, reason in checks if not holds()), "")


def _identity_of(row: FileRow) -> FileIdentity:
    return FileIdentity(row.dev, row.ino, row.size, row.mtime_ns, row.ctime_ns)


def _on_disk(root: OpenRoot, action: Action) -> FileIdentity | None:
    try:
        with paths.opened_dir(root.path, action.dir) as folder:
            status = os.stat(action.name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileIdentity(
        signed64(status.st_dev), signed64(status.st_ino), status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # it was never made, or its folder is gone
