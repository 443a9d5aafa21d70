"""The HTTP side of the cloud, which knows its connections: what a killed client had sent is done after its death."""

import socket
from threading import Condition
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

_ESTABLISHED = 1  # tcpi_state of linux/tcp.h, the first byte of TCP_INFO: both ends stand
_PATIENCE_S = 60


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # werkzeug's name
        """Say nothing."""


class Server(ThreadedWSGIServer):
    """A thread for each connection."""

    def __init__(self, app: Any) -> None:
        """Serve *app* on a free port of the loopback."""
        self._change = Condition()
        self._open: set[socket.socket] = set()
        self._latest_port = 0
        super().__init__("127.0.0.1", 0, app, _Quiet)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note who came; in the order in which they connected."""
        with self._change:
            self._open.add(request)
            self._latest_port = client_address[1]
            self._change.notify_all()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Note that nothing more is done for this one."""
        super().shutdown_request(request)
        with self._change:
            self._open.discard(request)
            self._change.notify_all()

    def until_quiet(self) -> None:
        """Return when all that clients sent who are gone by now is done. Not to be called by what serves a request."""
        with socket.create_connection(("127.0.0.1", self.server_port)) as last, self._change:
            port = last.getsockname()[1]
            assert self._change.wait_for(lambda: self._latest_port == port, _PATIENCE_S)
            left = {connection for connection in self._open if _is_left(connection)}
            assert self._change.wait_for(lambda: not left & self._open, _PATIENCE_S)


def _is_left(connection: socket.socket) -> bool:
    """Whether the other end has closed it, or is no more."""
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED
    except OSError:
        return False  # closed on this side as well
