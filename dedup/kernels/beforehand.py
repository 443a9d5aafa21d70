"""Compiles every kernel before anything needs one, in several processes.

Used when frostline is set up. Otherwise each kernel is compiled when it is first asked for (dedup.kernels.apart), which
is some fifteen seconds of the first ingest on one core.
"""

import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress

from blake3 import blake3

from dedup.kernels import apart, kept, machine

# Dealt out in turn: each core gets about the same of them.
_MODULES = ("snappy", "plain", "gear", "records", "planes", "words", "delta", "bloom")


def is_missing(others: Sequence[str]) -> bool:
    """Return whether compile_every(*others*) has not been done by this version, or not for this place, and would last.

    Costs no more than reading what would be compiled.
    """
    return kept.load(_name(others)) is None and kept.can_be()


def compile_every(others: Sequence[str], processes: int) -> bool:
    """Compile and keep the kernels of this package and of the modules named in *others*, with that many *processes*;
    return whether all went well. Raises OSError.

    What cannot be compiled here is left to whoever asks for it.
    """
    names = _modules(())
    for number, other in enumerate(others):
        names.insert(2 * number + 3, other)
    shares = [share for number in range(processes) if (share := names[number::processes])]
    running = [apart.started(__name__, *share) for share in shares]
    try:
        codes = [process.wait() for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    if any(codes):
        return False
    kept.store(_name(others), kept.Object("every", b""))
    return True


def _modules(others: Sequence[str]) -> list[str]:
    return [*(f"{__package__}.{name}" for name in _MODULES), *others]


def _name(others: Sequence[str]) -> str:
    """Return the name under which it is noted that all is compiled: another one for other code, or another compiler."""
    code = blake3(kept.compiler_version())
    for name in _modules(others):
        code.update(kept.source(name))
    return f"every-{code.hexdigest(length=12)}"


def main() -> int:
    """Compile what the modules named on the command line hold."""
    machine.compile_here()
    failed = 0
    for name in sys.argv[1:]:
        try:
            module = importlib.import_module(name)
            for function, width in getattr(module, "EVERY", ()):
                module.prepare(function, width)
        except ImportError:
            failed = 1
    return failed


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
