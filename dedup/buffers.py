"""One read buffer per thread, kept from file to file: fresh pages cost as much as reading into them."""

import threading


class _Held(threading.local):
    """A thread's buffer."""

    def __init__(self) -> None:
        self.buffer = bytearray()


_held = _Held()


def thread_buffer(size: int) -> memoryview:
    """Return *size* bytes, of any content, that are this thread's until it calls again."""
    if len(_held.buffer) < size:
        _held.buffer = bytearray(size)
    return memoryview(_held.buffer)[:size]
