"""An exact solver of the question that policies.capacity answers: HiGHS, a mixed-integer program of a line."""

from collections.abc import Sequence
from typing import Any

import highspy


def least_loss(items: Sequence[tuple[int, int]], need_bytes: int) -> int:
    """Return the least value to let go, of items of (bytes, value), so that at least *need_bytes* are freed."""
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # its stubs leave it out
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("mip_rel_gap", 0.0)
    chosen = [solver.addBinary(obj=float(value)) for _, value in items]
    scale = max(size for size, _ in items)
    freed = sum(size / scale * one for (size, _), one in zip(items, chosen, strict=True))
    solver.addConstr(freed >= need_bytes / scale)
    solver.minimize()
    return sum(value for (_, value), one in zip(items, chosen, strict=True) if solver.val(one) > 0.5)
