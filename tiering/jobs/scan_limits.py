"""What a scan cannot take in: files whose numbers neither the catalog's columns nor a recipe hold.

Used by tiering.jobs.scan, which lists them as problems and goes on: what is known about such a path stays as it was.
Every file system that keeps wide timestamps (XFS, ext4, btrfs, tmpfs) lets any owner set one that does not fit.
"""

import os

from tiering.hot.looks import Looks

# Signed 64-bit nanoseconds, in the catalog as in recipes: 1677-09-21 to 2262-04-11.
_FIRST_NS, _LAST_NS = -(1 << 63), (1 << 63) - 1
MAX_SIZE_BYTES = 1 << 53
"""8 PiB: what every reader of our JSON holds exactly, and far enough below 2**63 for the sums of the books. Only sparse
files are larger."""
_MAX_LINKS = (1 << 31) - 1  # the column is a 32-bit integer on PostgreSQL

_TIMES = (("modification", "st_mtime_ns"), ("access", "st_atime_ns"), ("change", "st_ctime_ns"))


def all_fit(looks: Looks) -> bool:
    """Return whether misfit() has nothing to say of any of these files, of which there is one at least."""
    times = (looks.mtime_ns, looks.atime_ns, looks.ctime_ns)
    return (
        all(min(column) >= _FIRST_NS and max(column) <= _LAST_NS for column in times)
        and max(looks.size) <= MAX_SIZE_BYTES
        and max(looks.nlink) <= _MAX_LINKS
    )


def misfit(status: os.stat_result) -> str:
    """Return which number of *status* does not fit, and what to do about it; "" if all do."""
    for said, field in _TIMES:
        if not _FIRST_NS <= getattr(status, field) <= _LAST_NS:
            return (
                f"its {said} time is not between 1677-09-21 and 2262-04-11, which is what can be kept; "
                "set another (touch), and the next scan takes it in"
            )
    if status.st_size > MAX_SIZE_BYTES:
        return f"its size of {status.st_size:,} bytes is beyond the 8 PiB that can be kept"
    if status.st_nlink > _MAX_LINKS:
        return f"it has {status.st_nlink:,} names, more than can be kept"
    return ""
