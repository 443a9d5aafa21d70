"""What the folders around a file say of it: is it in a model cache, is its folder one checkpoint of a run?

Used by plan and estimate. Looks at names in the tree below one root, remembers the last few folders, reads no file.
"""

import os
from functools import lru_cache

from policies.kinds import newest_steps, step_of_folder
from policies.values import StepFolder, text

CACHE_PARTS = frozenset({b"blobs", b"refs", b"snapshots"})
"""The folders of one repository in a Hugging Face cache."""
REPOSITORY_PREFIXES = (b"models--", b"datasets--", b"spaces--")
REMEMBERED = 256  # parents of the folders on the way down; a walk returns to each of them soon


class Surroundings:
    """Judges the folders below one root."""

    def __init__(self, root: bytes) -> None:
        """*root* is an absolute path."""
        self._root = root
        self._steps = lru_cache(maxsize=REMEMBERED)(self._newest_steps_below)
        self._is_repository = lru_cache(maxsize=REMEMBERED)(self._has_cache_folders)

    def in_model_cache(self, dir: bytes) -> bool:
        """Return whether the folder ("a/b/") lies in a Hugging Face cache, told by name or by shape."""
        parts = dir.split(b"/")
        for i, part in enumerate(parts[:-1]):
            if part.startswith(REPOSITORY_PREFIXES):
                return True
            if part in CACHE_PARTS and self._is_repository(b"/".join(parts[:i])):
                return True
        return False

    def step_folder(self, dir: bytes) -> StepFolder:
        """Judge the folder by every folder on the way: a step below an older step is old."""
        found = StepFolder.NO
        parts = dir.split(b"/")[:-1]
        for i, part in enumerate(parts):
            if step_of_folder(text(part)) is None:
                continue
            if text(part) not in self._steps(b"/".join(parts[:i])):
                return StepFolder.OLDER
            found = StepFolder.NEWEST
        return found

    def _has_cache_folders(self, parent: bytes) -> bool:
        place = os.path.join(self._root, parent)
        return all(os.path.isdir(os.path.join(place, part)) for part in CACHE_PARTS)

    def _newest_steps_below(self, parent: bytes) -> frozenset[str]:
        try:
            listed = os.listdir(os.path.join(self._root, parent))
        except OSError:
            return frozenset()
        return newest_steps([text(name) for name in listed])
