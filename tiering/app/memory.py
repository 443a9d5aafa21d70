"""How Python and the C library keep memory: few searches for cycles of dead objects, few heaps.

Called once by every process that acts, as ignore_sigio() is, before it has threads.
"""

import ctypes
import gc

# A batch of migrate is half a million objects that live for seconds and refer to one another in no cycle. Looking
# through them after every 700 new ones took a tenth of an ingest's CPU; what cycles libraries make are found still.
NEW_OBJECTS = 50_000
# glibc gives every thread a heap of its own, up to eight a core, and each keeps the megabytes that blocks of chunks
# took once: a fifth of an ingest's peak. Large pieces are asked for rarely enough that two heaps do.
HEAPS = 2
_M_ARENA_MAX = -8  # malloc.h


def keep_memory_small() -> None:
    """Set the collector's thresholds, leave what was imported until now out of its sight, and bound the heaps."""
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 50)
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # other C libraries have neither the function nor the heaps
        library.mallopt(_M_ARENA_MAX, HEAPS)
