"""Amounts are written so that a reader can redo the arithmetic."""

import pytest

from policies.amounts import say_bytes, say_dollars, say_time, say_usd
from policies.values import NS_PER_DAY, NS_PER_HOUR


@pytest.mark.parametrize(
    ("nano", "said"),
    [
        (0, "$0"),
        (1, "$0.000000001"),
        (18_200, "$0.0000182"),
        (23_000_000, "$0.023"),
        (1_234_567_890_000, "$1,234.57"),
        (-5_000_000_000, "$-5.00"),
    ],
)
def test_dollars_are_never_written_in_powers_of_ten(nano: int, said: str) -> None:
    assert say_usd(nano) == said


def test_sizes_and_times_name_their_units() -> None:
    assert (say_bytes(1023), say_bytes(1536), say_bytes(3 << 40)) == ("1023 B", "1.50 KiB", "3.00 TiB")
    assert (say_time(36 * NS_PER_HOUR), say_time(47 * NS_PER_DAY)) == ("36.0 h", "47.0 d")


def test_dollars_are_said_with_the_digits_that_carry_meaning() -> None:
    assert [say_dollars(usd) for usd in (0, 0.0004173, 12345.678)] == ["$0", "$0.000417", "$12,345.68"]
