"""What a process that acts does with freed memory: its faults are counted by the kernel, whatever the load."""

import subprocess
import sys

_FAULTS = """
import ctypes, resource, sys
from tiering.app.memory import keep_memory_small

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

keep_memory_small()
blocks = [bytearray(1 << 20) for _ in range(8)]
before = faults()
for _ in range(20):
    blocks.clear()
    blocks += [bytearray(1 << 20) for _ in range(8)]
print(hasattr(ctypes.CDLL(None), "mallopt"), faults() - before)
"""


_KEPT = """
import ctypes, gc
from tiering.app.memory import give_back, keep_memory_small

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

class Node:
    pass

keep_memory_small()
before = resident()
pieces = []
for number in range(40_000):  # small pieces, of which a few hold the pages of all others at the end of the heap
    pieces.append(bytearray(2000))
    cycle = Node()
    cycle.own, cycle.held = cycle, bytearray(2000)
pinned = pieces[::1000]
pieces.clear()
del cycle
full = resident()
give_back()
print(hasattr(ctypes.CDLL(None), "malloc_trim"), before, full, resident())
"""


def test_what_is_free_is_given_back() -> None:
    """160 MB in small pieces, half of them in cycles that nobody has looked for; a few are still in use."""
    done = subprocess.run([sys.executable, "-c", _KEPT], capture_output=True, text=True, check=True)
    can_trim, before, full, after = done.stdout.split()
    assert can_trim == "False" or int(after) - int(before) < (int(full) - int(before)) / 4


def test_blocks_that_are_freed_are_used_again() -> None:
    """Of 160 blocks of 256 pages each; by the C library's own limits all are given back and asked for again."""
    done = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True)
    has_limits, faults = done.stdout.split()
    assert has_limits == "False" or int(faults) < 2000
