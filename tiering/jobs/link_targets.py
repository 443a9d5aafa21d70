"""Finds what symbolic links under the roots point at: programs reach those files under other names (latest.pt).

Used by plan and estimate. Lists every folder but stats nothing; memory grows with the number of links that stay under a
root, not with the number of files.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tiering.hot import names, paths
from tiering.hot.placeholder import parse_target
from tiering.jobs.context import Context, OpenRoot


@dataclass(slots=True)
class LinkTargets:
    """Paths that links resolve to, by root."""

    files: set[tuple[int, bytes]] = field(default_factory=set)
    """(root id, path)."""
    folders: set[tuple[int, bytes]] = field(default_factory=set)
    """(root id, "a/b/"): everything below is reached through a link."""

    def covers_folder(self, root_id: int, dir: bytes) -> bool:
        """Return whether *dir* ("a/b/") or a folder above it is a link's target."""
        at = dir.find(b"/")
        while self.folders and at >= 0:
            if (root_id, dir[: at + 1]) in self.folders:
                return True
            at = dir.find(b"/", at + 1)
        return False

    def covers_file(self, root_id: int, path: bytes) -> bool:
        """Return whether the file itself is a link's target."""
        return (root_id, path) in self.files


def find_link_targets(ctx: Context, roots: Iterable[OpenRoot]) -> LinkTargets:
    """Return what the links of all configured roots point at, as far as it lies under *roots*."""
    crossing = {settings.name for settings in ctx.config.roots if settings.cross_mounts}
    found = LinkTargets()
    wanted = {root.path: root.root_id for root in roots}
    for root in ctx.roots:
        add_link_targets(found, root.path, wanted, cross_mounts=root.name in crossing)
        if ctx.stop.is_set():
            break
    return found


def add_link_targets(
    found: LinkTargets, tree: bytes, wanted: Mapping[bytes, int], *, cross_mounts: bool = False
) -> None:
    """Add to *found* what the links below *tree* point at, as far as it lies in one of *wanted* (path -> root id)."""
    for link in _links(tree, cross_mounts=cross_mounts):
        _note(found, os.path.join(tree, link), wanted)


def _note(found: LinkTargets, link: bytes, wanted: Mapping[bytes, int]) -> None:
    target = os.path.realpath(link)
    if link.startswith(target + b"/"):
        return  # it points at a folder it stands in itself: that names nothing in particular
    for root_path, root_id in wanted.items():
        if not target.startswith(root_path + b"/"):
            continue
        relative = target[len(root_path) + 1 :]
        if os.path.isdir(target):
            found.folders.add((root_id, relative + b"/"))
        else:
            found.files.add((root_id, relative))


def _links(root: bytes, *, cross_mounts: bool) -> Iterator[bytes]:
    """Yield the paths, relative to *root*, of all symbolic links but placeholders. What cannot be listed is skipped."""
    try:
        root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        pending = [b""]
        while pending:
            directory = pending.pop()
            links, below = _list(root_fd, directory, cross_mounts=cross_mounts)
            pending.extend(below)
            yield from links
    finally:
        os.close(root_fd)


def _list(root_fd: int, directory: bytes, *, cross_mounts: bool) -> tuple[list[bytes], list[bytes]]:
    links: list[bytes] = []
    below: list[bytes] = []
    try:
        fd = paths.open_dir(root_fd, directory, cross_mounts=cross_mounts)
    except OSError:
        return links, below
    try:
        with os.scandir(fd) as listing:
            for item in listing:
                name = os.fsencode(item.name)
                if item.is_symlink():
                    if parse_target(os.readlink(name, dir_fd=fd)) is None:
                        links.append(directory + name)
                    continue
                is_foreign = name in names.FOREIGN_DIRS or names.is_ours(name)
                if item.is_dir(follow_symlinks=False) and not is_foreign:
                    below.append(directory + name + b"/")
    except OSError:
        pass  # changed while it was listed: a hint is lost, the next plan has it
    finally:
        os.close(fd)
    return links, below
