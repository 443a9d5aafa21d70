"""One read buffer per thread, kept from file to file: fresh pages cost as much as reading into them."""

import threading

# What a group of small files or a window of a long one takes is a little different every time: a buffer that grew with
# each would be made anew again and again.
_STEP_BYTES = 8 << 20


class _Held(threading.local):
    """A thread's buffer."""

    def __init__(self) -> None:
        self.buffer = bytearray()


_held = _Held()


def thread_buffer(size: int) -> memoryview:
    """Return *size* bytes, of any content, that are this thread's until it calls again."""
    if len(_held.buffer) < size:
        _held.buffer = bytearray(-(-size // _STEP_BYTES) * _STEP_BYTES)
    return memoryview(_held.buffer)[:size]
