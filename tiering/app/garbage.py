"""How often Python looks for cycles of dead objects: seldom, because our objects make none.

Called once by every process that acts, as ignore_sigio() is.
"""

import gc

# A batch of migrate is half a million objects that live for seconds and refer to one another in no cycle. Looking
# through them after every 700 new ones took a tenth of an ingest's CPU; what cycles libraries make are found still.
NEW_OBJECTS = 50_000


def collect_rarely() -> None:
    """Set the collector's thresholds, and leave what was imported until now out of its sight."""
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 50)
