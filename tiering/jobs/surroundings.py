"""What the folders around a file say of it: is it in a model cache, is its folder one checkpoint of a run?

Used by plan and estimate. Looks at names in the tree below one root, remembers the last few folders, reads no file.
"""

import os
from functools import lru_cache

from policies.kinds import step_of_folder, step_ranks
from policies.values import text

CACHE_PARTS = frozenset({b"blobs", b"refs", b"snapshots"})
"""The folders of one repository in a Hugging Face cache."""
REPOSITORY_PREFIXES = (b"models--", b"datasets--", b"spaces--")
REMEMBERED = 256  # parents of the folders on the way down; a walk returns to each of them soon


class Surroundings:
    """Judges the folders below one root."""

    def __init__(self, root: bytes) -> None:
        """*root* is an absolute path."""
        self._root = root
        self._steps = lru_cache(maxsize=REMEMBERED)(self._step_ranks_below)
        self._is_repository = lru_cache(maxsize=REMEMBERED)(self._has_cache_folders)
        self.in_model_cache = lru_cache(maxsize=REMEMBERED)(self._lies_in_model_cache)
        """Whether a folder ("a/b/") lies in a Hugging Face cache, told by name or by shape."""
        self.step_rank = lru_cache(maxsize=REMEMBERED)(self._step_rank_of)
        """How many later steps stand beside a folder, or beside one that it lies in, whichever is more; None where no
        folder on the way is a step of a run."""

    def _lies_in_model_cache(self, dir: bytes) -> bool:
        parts = dir.split(b"/")
        for i, part in enumerate(parts[:-1]):
            if part.startswith(REPOSITORY_PREFIXES):
                return True
            if part in CACHE_PARTS and self._is_repository(b"/".join(parts[:i])):
                return True
        return False

    def _step_rank_of(self, dir: bytes) -> int | None:
        ranks: list[int] = []
        parts = dir.split(b"/")[:-1]
        for i, part in enumerate(parts):
            if step_of_folder(text(part)) is not None:
                ranks.append(self._steps(b"/".join(parts[:i])).get(text(part), 0))
        return max(ranks, default=None)

    def _has_cache_folders(self, parent: bytes) -> bool:
        place = os.path.join(self._root, parent)
        return all(os.path.isdir(os.path.join(place, part)) for part in CACHE_PARTS)

    def _step_ranks_below(self, parent: bytes) -> dict[str, int]:
        try:
            listed = os.listdir(os.path.join(self._root, parent))
        except OSError:
            return {}
        return step_ranks([text(name) for name in listed])
