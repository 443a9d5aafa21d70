"""Follows a root to another device number: after a reboot the same file system may have another one.

Device numbers are part of a file's identity, so without this every stored file would count as changed after a
reboot that numbered the disks (or, on btrfs and overlays, the mounts) anew. The root's marker proves that it is
the same tree.
"""

import os

from tiering.catalog import files
from tiering.catalog.values import signed64
from tiering.hot.marker import check_marker
from tiering.jobs.context import Context, OpenRoot


def follow_device(ctx: Context, root: OpenRoot) -> int:
    """Give the root's rows the device number that it has now; return how many had another. Idempotent.

    Roots that span mounts have several numbers and are left alone: their files are looked at again by the next scan.
    Raises RootMissing.
    """
    if not root.marker or ctx.config.root(root.name).cross_mounts:
        return 0
    check_marker(root.path, root.marker)
    device = signed64(os.stat(root.path).st_dev)
    with ctx.catalog.read() as tx:
        if files.device_of(tx, root.root_id) in {None, device}:
            return 0
    with ctx.catalog.write() as tx:
        return files.follow_device(tx, root.root_id, device)
