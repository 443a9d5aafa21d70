"""The checksum: the published CRC64NVME, the same in one piece or many."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiering.stores.checksum import Checksum, checksum_of, from_bytes, to_bytes

_POLYNOMIAL = 0x9A6C9329AC4BC9B5  # 0xAD93D23594C93659 reflected; NVM Express NVM Command Set, 5.2.1.3.4
_ONES = (1 << 64) - 1


def crc64nvme_by_definition(data: bytes) -> int:
    """Bit by bit: reflected in and out, all ones at both ends."""
    register = _ONES
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (_POLYNOMIAL if register & 1 else 0)
    return register ^ _ONES


def test_the_check_value_of_the_specification() -> None:
    assert checksum_of(b"123456789") == "crc64nvme:ae8b14860a799888"


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_it_is_the_definition_however_the_bytes_come(data: bytes, cuts: list[int]) -> None:
    running = Checksum()
    start = 0
    for cut in [*sorted(cut for cut in cuts if cut <= len(data)), len(data)]:
        running.update(memoryview(data)[start:cut])
        start = cut

    assert running.text() == checksum_of(data) == f"crc64nvme:{crc64nvme_by_definition(data):016x}"


def test_a_stream_is_read_from_its_position_and_left_there() -> None:
    stream = io.BytesIO(b"before" + b"x" * 3_000_000)
    stream.seek(6)

    assert checksum_of(stream) == checksum_of(b"x" * 3_000_000)
    assert stream.tell() == 6
    assert checksum_of(stream, 10) == checksum_of(b"x" * 10)


def test_text_and_bytes_go_back_and_forth() -> None:
    text = checksum_of(b"123456789")

    assert from_bytes(to_bytes(text)) == text
    for wrong in ("", "crc64nvme:", "md5:ae8b14860a799888", "crc64nvme:ae8b"):
        with pytest.raises(ValueError, match="not a crc64nvme"):
            to_bytes(wrong)
