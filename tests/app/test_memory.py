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


def test_blocks_that_are_freed_are_used_again() -> None:
    """Of 160 blocks of 256 pages each; by the C library's own limits all are given back and asked for again."""
    done = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True)
    has_limits, faults = done.stdout.split()
    assert has_limits == "False" or int(faults) < 2000
