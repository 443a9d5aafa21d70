"""How Python and the C library keep memory: few searches for cycles of dead objects, few heaps, given back seldom.

Set once by every process that acts, as ignore_sigio() is, before it has threads; given back by one that stays when it
has done something.
"""

import ctypes
import gc

# A batch of migrate is half a million objects that live for seconds and refer to one another in no cycle. Looking
# through them after every 700 new ones took a tenth of an ingest's CPU, after every 50,000 still a fortieth; the cycles
# that libraries make, a thousand dead objects in an ingest, are found still.
NEW_OBJECTS = 250_000
# glibc gives every thread a heap of its own, up to eight a core, and each keeps the megabytes that blocks of chunks
# took once: a fifth of an ingest's peak. Large pieces are asked for rarely enough that two heaps do.
HEAPS = 2
# A block of a megabyte is coded, proven and freed 150 times a second. With glibc's own limits every other one is given
# back to the system and asked for again, page by page: a third to a half of an ingest's page faults.
KEPT_BYTES = 32 << 20
LARGE_BYTES = 32 << 20  # the most that malloc.h takes; what is larger is mapped by itself
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h


def keep_memory_small() -> None:
    """Set the collector's thresholds, leave what was imported until now out of its sight, and bound the heaps: in
    number, and in what they keep of freed memory.
    """
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 50)
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # other C libraries have neither the function nor the heaps
        library.mallopt(_M_ARENA_MAX, HEAPS)
        library.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Let go of dead cycles and hand the system what is free: for a process that waits now, maybe for hours. Some ten
    milliseconds.
    """
    gc.collect()  # by its thresholds the collector would not look before millions of new objects
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
