"""An S3 on loopback that knows time and money: checksums, archives, restores, minimum stays and a bill.

moto answers (XML, multipart, conditions, listings); this layer decides what moto leaves out, on a clock that the test
moves. Path-style requests; one thread of thought at a time, so that a bill is exact. What it does not model:
versions, replication, Intelligent-Tiering's own moves, lifecycle rules.
"""

import logging
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import RLock, Thread

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from policies.prices import PriceBook
from tests.cloud import answers
from tests.cloud.answers import Refused
from tests.cloud.meter import Bill
from tests.cloud.objects import ARCHIVED, SPEEDS, Restore, StoredObject, restore_seconds
from tests.cloud.wire import Answer, Application, Environ, Request, StartResponse, check_body, forward, read_request
from tests.stores.servers import S3Server
from tiering.clock import NS_PER_S, Clock

Place = tuple[str, str]


@dataclass(slots=True)
class _Upload:
    place: Place
    storage_class: str
    parts: dict[int, bytes] = field(default_factory=dict)
    copied: dict[int, int] = field(default_factory=dict)
    """Part -> bytes, of those copied from another object."""


class Cloud:
    """The WSGI application. `bill`, `plan` and `objects` are for the test; `settle` brings the bill up to now."""

    def __init__(self, clock: Clock, book: PriceBook, inner: Application) -> None:
        """Stand in front of *inner* (moto)."""
        self.clock = clock
        self.bill = Bill(book)
        self.objects: dict[Place, StoredObject] = {}
        self.denied: dict[str, str] = {}
        """Prefix of keys, or kind and prefix ("get packs/") -> code of the error that such requests get."""
        self.expedited_available = True
        self._plans: dict[str, deque[str]] = defaultdict(deque)
        self._uploads: dict[str, _Upload] = {}
        self._inner = inner
        self._lock = RLock()

    def plan(self, kind: str, letters: str) -> None:
        """One letter for each coming request of *kind* (put, get, head, list, copy, restore, delete, part, complete):

        `.` works, `s` SlowDown, `i` InternalError, `L` done but the answer is an InternalError, `t` the connection is
        torn after the request was read and nothing done, `T` torn after it was done.
        """
        self._plans[kind].extend(letters)

    def settle(self) -> Bill:
        """Return the bill with all storage up to now on it."""
        with self._lock:
            for stored in self.objects.values():
                self.bill.hold(stored, self.clock.now_ns())
            return self.bill

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = read_request(environ)
        kind = kind_of(request)
        with self._lock:
            plan = self._plans[kind]
            letter = plan.popleft() if plan else "."
            try:
                answer = self._decide(kind, letter, request, environ)
            except Refused as error:
                answer = Answer(error.status, {"content-type": "application/xml"}, error.body())
                if request.method == "HEAD":
                    answer.body = b""
        if letter in "tT":
            environ["werkzeug.socket"].shutdown(2)
        headers = [(name, value) for name, value in answer.headers.items() if name != "connection"]
        start_response(f"{answer.status} {'OK' if answer.is_ok else 'Error'}", headers)
        return [answer.body]

    def _decide(self, kind: str, letter: str, request: Request, environ: Environ) -> Answer:
        if letter in "sit":
            raise Refused("SlowDown" if letter == "s" else "InternalError")
        for prefix, code in self.denied.items():
            if f"{kind} {request.key}".startswith(prefix) or request.key.startswith(prefix):
                raise Refused(code)
        answer = getattr(self, f"_on_{kind}", self._pass)(request, environ)
        if letter in "LT":
            raise Refused("InternalError")
        assert isinstance(answer, Answer)
        return answer

    def _pass(self, request: Request, environ: Environ) -> Answer:
        return forward(self._inner, environ, request.body)

    def _on_put(self, request: Request, environ: Environ) -> Answer:
        storage_class = request.header("x-amz-storage-class", "STANDARD")
        self.bill.request("put", storage_class)
        check_body(request, request.body)
        answer = self._pass(request, environ)
        if answer.is_ok:
            self._store((request.bucket, request.key), len(request.body), storage_class, answer.headers.get("etag", ""))
        return answer

    def _on_copy(self, request: Request, environ: Environ) -> Answer:
        storage_class = request.header("x-amz-storage-class", "STANDARD")
        self.bill.request("copy", storage_class)
        self._check_versions(request)
        size = self._readable_source(request)
        answer = self._pass(request, environ)
        if answer.is_ok:
            self._store((request.bucket, request.key), size, storage_class, answers.text_of(answer.body, "ETag"))
        return answer

    def _on_create(self, request: Request, environ: Environ) -> Answer:
        self.bill.request("put", part_class(request.header("x-amz-storage-class", "STANDARD")))
        answer = self._pass(request, environ)
        if answer.is_ok:
            place = (request.bucket, request.key)
            upload = _Upload(place, request.header("x-amz-storage-class", "STANDARD"))
            self._uploads[answers.text_of(answer.body, "UploadId")] = upload
        return answer

    def _on_part(self, request: Request, environ: Environ) -> Answer:
        upload = self._uploads.get(request.query["uploadId"])
        self.bill.request("put", part_class(upload.storage_class if upload else "STANDARD"))
        body = request.body
        copied = 0
        if request.is_copy:
            self._check_versions(request)
            copied = self._readable_source(request)
        else:
            check_body(request, body)
        answer = self._pass(request, environ)
        if answer.is_ok and upload is not None:
            upload.parts[int(request.query["partNumber"])] = body
            upload.copied[int(request.query["partNumber"])] = copied
        return answer

    def _on_complete(self, request: Request, environ: Environ) -> Answer:
        upload = self._uploads.get(request.query["uploadId"])
        self.bill.request("put", upload.storage_class if upload else "STANDARD")
        whole = b"".join(upload.parts[number] for number in sorted(upload.parts)) if upload else b""
        check_body(request, whole)
        self._check_versions(request)
        answer = self._pass(request, environ)
        if answer.is_ok and upload is not None:
            del self._uploads[request.query["uploadId"]]
            size = len(whole) + sum(upload.copied.values())
            self._store(upload.place, size, upload.storage_class, answers.text_of(answer.body, "ETag"))
        return answer

    def _on_abort(self, request: Request, environ: Environ) -> Answer:
        self._uploads.pop(request.query["uploadId"], None)
        return self._pass(request, environ)

    def _on_get(self, request: Request, environ: Environ) -> Answer:
        stored = self.objects.get((request.bucket, request.key))
        self.bill.request("get", stored.storage_class if stored else "STANDARD")
        if stored and stored.look(self.clock.now_ns()) in {"cold", "warming"}:
            raise Refused("InvalidObjectState")
        answer = self._pass(request, environ)
        if stored and answer.is_ok:
            if stored.storage_class not in ARCHIVED:
                self.bill.retrieval(stored.storage_class, len(answer.body))
            self._say_restore(stored, answer)
        return answer

    def _on_head(self, request: Request, environ: Environ) -> Answer:
        stored = self.objects.get((request.bucket, request.key))
        self.bill.request("head", stored.storage_class if stored else "STANDARD")
        answer = self._pass(request, environ)
        if stored and answer.is_ok:
            self._say_restore(stored, answer)
        return answer

    def _on_list(self, request: Request, environ: Environ) -> Answer:
        self.bill.request("list", "STANDARD")
        answer = self._pass(request, environ)
        if answer.is_ok and "RestoreStatus" in request.header("x-amz-optional-object-attributes"):
            now = self.clock.now_ns()
            states = [
                (key, stored.look(now), stored.restore.expires_ns if stored.restore else 0)
                for (bucket, key), stored in self.objects.items()
                if bucket == request.bucket
            ]
            answer.body = answers.with_restore_status(answer.body, states)
            answer.headers["content-length"] = str(len(answer.body))
        return answer

    def _on_delete(self, request: Request, environ: Environ) -> Answer:
        self.bill.request("delete", "STANDARD")
        answer = self._pass(request, environ)
        if answer.is_ok:
            self._end((request.bucket, request.key))
        return answer

    def _on_restore(self, request: Request, environ: Environ) -> Answer:
        stored = self.objects.get((request.bucket, request.key))
        if stored is None:
            return self._pass(request, environ)
        now = self.clock.now_ns()
        look = stored.look(now)
        if look == "instant":
            raise Refused("InvalidObjectState", "Restore is not allowed for the object's current storage class")
        speed = answers.text_of(request.body, "Tier") or "Standard"
        days = int(answers.text_of(request.body, "Days") or 0)
        seconds = restore_seconds(stored.storage_class, speed)
        if seconds is None or days < 1:
            raise Refused("InvalidArgument", f"{speed} for {days} days is not offered for {stored.storage_class}")
        if look == "warm":
            self.bill.extension(stored.storage_class, speed)
            return self._extend(stored, days, now)
        if speed == "Expedited" and not self.expedited_available:
            raise Refused("GlacierExpeditedRetrievalNotAvailable")
        running = stored.restore if look == "warming" else None
        if running and SPEEDS.index(speed) <= SPEEDS.index(running.speed):
            raise Refused("RestoreAlreadyInProgress")
        self.bill.hold(stored, now)
        self.bill.restore(stored.storage_class, speed, stored.size)
        ready_ns = now + seconds * NS_PER_S
        stored.restore = Restore(speed, min(ready_ns, running.ready_ns) if running else ready_ns, days)
        if not running:
            self._pass(request, environ)  # moto restores at once, and serves what we let through
        return Answer(202, {"content-length": "0"}, b"")

    def _extend(self, stored: StoredObject, days: int, now_ns: int) -> Answer:
        assert stored.restore is not None
        self.bill.hold(stored, now_ns)
        stored.restore.extend(days, now_ns)
        return Answer(200, {"content-length": "0"}, b"")

    def _readable_source(self, request: Request) -> int:
        """Return the size of a copy's source, or of its range, billing its reading; an archived one is refused."""
        stored = self.objects.get(request.source)
        if stored is None:
            return 0
        if stored.look(self.clock.now_ns()) in {"cold", "warming"}:
            raise Refused("ObjectNotInActiveTierError")
        size = stored.size
        if span := request.header("x-amz-copy-source-range").removeprefix("bytes="):
            first, _, last = span.partition("-")
            size = int(last) - int(first) + 1
        if stored.storage_class not in ARCHIVED:
            self.bill.retrieval(stored.storage_class, size)
        return size

    def _check_versions(self, request: Request) -> None:
        """Refuse where source or destination is not the version that the request names; moto does not look."""
        named = [("if-match", (request.bucket, request.key))]
        if request.is_copy:
            named.append(("x-amz-copy-source-if-match", request.source))
        for header, place in named:
            stored = self.objects.get(place)
            if request.header(header) and (stored is None or request.header(header) != stored.etag):
                raise Refused("PreconditionFailed")

    def _store(self, place: Place, size: int, storage_class: str, etag: str) -> None:
        self._end(place)
        now = self.clock.now_ns()
        self.objects[place] = StoredObject(size, storage_class, now, now, etag=etag)

    def _end(self, place: Place) -> None:
        stored = self.objects.pop(place, None)
        if stored is not None:
            self.bill.hold(stored, self.clock.now_ns())
            self.bill.leave(stored, self.clock.now_ns())

    def _say_restore(self, stored: StoredObject, answer: Answer) -> None:
        answer.headers.pop("x-amz-restore", None)
        look = stored.look(self.clock.now_ns())  # first: it fixes the expiry
        header = answers.restore_header(look, stored.restore.expires_ns if stored.restore else 0)
        if header:
            answer.headers["x-amz-restore"] = header


_OF_THE_BUCKET = {"location", "uploads", "versioning", "policy", "ownershipControls"}


def part_class(storage_class: str) -> str:
    """Return the class at whose price parts and the beginning of an upload are billed."""
    return "STANDARD" if storage_class in ARCHIVED else storage_class


def kind_of(request: Request) -> str:
    """Return what a request is, in the words of plan()."""
    query = request.query
    if not request.key:
        is_listing = request.method == "GET" and not _OF_THE_BUCKET & query.keys()
        return "list" if is_listing or "uploads" in query else "bucket"
    if request.method == "PUT":
        if "partNumber" in query:
            return "part"
        return "other" if {"tagging", "acl"} & query.keys() else "copy" if request.is_copy else "put"
    if request.method == "POST":
        for name, kind in (("uploads", "create"), ("uploadId", "complete"), ("restore", "restore")):
            if name in query:
                return kind
        return "other"
    if request.method == "DELETE":
        return "abort" if "uploadId" in query else "delete"
    return {"GET": "other" if {"tagging", "acl"} & query.keys() else "get", "HEAD": "head"}.get(request.method, "other")


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # werkzeug's name
        """Say nothing."""


@contextmanager
def cloud(clock: Clock, book: PriceBook) -> Iterator[tuple[S3Server, Cloud]]:
    """Serve an empty Cloud on a free port of loopback."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Cloud(clock, book, DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield S3Server("cloud", f"http://127.0.0.1:{server.server_port}"), app
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
