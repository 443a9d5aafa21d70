"""An S3 on loopback that knows time and money: checksums, archives, restores, minimum stays and a bill.

moto answers (XML, multipart, conditions, versions, listings); this layer decides what moto leaves out, on a clock that
the test moves. Path-style requests; one thread of thought at a time, so that a bill is exact. Replication can be set
and is seen; nothing is copied. Buckets whose versions are suspended, and several regions, are not modelled.
"""

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import RLock, Thread

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from policies.prices import PriceBook
from tests.cloud import answers, settings
from tests.cloud.answers import Refused
from tests.cloud.connections import Server
from tests.cloud.encryption import Keys
from tests.cloud.kinds import kind_of
from tests.cloud.locks import LOCK_HEADERS, answer_lock, asked_for, bypasses
from tests.cloud.meter import Bill
from tests.cloud.objects import ACCESS_STATUS, ARCHIVED, SPEEDS, Restore, StoredObject, restore_seconds
from tests.cloud.settings import SETTINGS
from tests.cloud.vault import Place, Upload, Vault, part_class
from tests.cloud.wire import Answer, Application, Environ, Request, StartResponse, check_body, forward, read_request
from tests.stores.servers import S3Server
from tiering.clock import NS_PER_S, Clock


class Cloud:
    """The WSGI application. `bill`, `plan` and `objects` are for the test; `settle` brings the bill up to now."""

    def __init__(self, clock: Clock, book: PriceBook, inner: Application) -> None:
        """Stand in front of *inner* (moto)."""
        self.clock = clock
        self.vault = Vault(clock, Bill(book))
        self.keys = Keys()
        self.watch: Callable[[Request, Answer], None] | None = None
        """Shown every request and what was answered to it."""
        self.denied: dict[str, str] = {}
        """Prefix of keys, or kind and prefix ("get packs/", "delete-version x") -> error that such requests get."""
        self.expedited_available = True
        self.until_quiet: Callable[[], None] = lambda: None
        """Wait for the end of what clients asked who are gone by now."""
        self._plans: dict[str, deque[str]] = defaultdict(deque)
        self._inner = inner
        self._lock = RLock()

    @property
    def objects(self) -> dict[Place, StoredObject]:
        """What stands: (bucket, key) -> its current version."""
        return self.vault.objects

    @property
    def bill(self) -> Bill:
        """What is owed so far."""
        return self.vault.bill

    @bill.setter
    def bill(self, bill: Bill) -> None:
        self.vault.bill = bill

    def plan(self, kind: str, letters: str) -> None:
        """One letter for each coming request of *kind* (put, get, head, list, copy, restore, delete, part, complete):

        `.` works, `s` SlowDown, `i` InternalError, `L` done but the answer is an InternalError, `t` the connection is
        torn after the request was read and nothing done, `T` torn after it was done.
        """
        self._plans[kind].extend(letters)

    def settle(self) -> Bill:
        """Return the bill with all storage on it."""
        with self._lock:
            return self.vault.settle()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = read_request(environ)
        kind = kind_of(request)
        with self._lock:
            plan = self._plans[kind]
            letter = plan.popleft() if plan else "."
            self.vault.age()
            try:
                answer = self._decide(kind, letter, request, environ)
            except Refused as error:
                answer = Answer(error.status, {"content-type": "application/xml"}, error.body())
                if request.method == "HEAD":
                    answer.body = b""
            if self.watch is not None:
                self.watch(request, answer)
        if letter in "tT":
            environ["werkzeug.socket"].shutdown(2)
        headers = [(name, value) for name, value in answer.headers.items() if name != "connection"]
        start_response(f"{answer.status} {'OK' if answer.is_ok else 'Error'}", headers)
        return [answer.body]

    def _decide(self, kind: str, letter: str, request: Request, environ: Environ) -> Answer:
        if letter in "sit":
            raise Refused("SlowDown" if letter == "s" else "InternalError")
        said = f"{kind}{'-version' if 'versionId' in request.query else ''} {request.key}"
        for prefix, code in self.denied.items():
            if said.startswith(prefix) or request.key.startswith(prefix):
                raise Refused(code)
        answer = getattr(self, f"_on_{kind}", self._pass)(request, environ)
        if letter in "LT":
            raise Refused("InternalError")
        assert isinstance(answer, Answer)
        return answer

    def _pass(self, request: Request, environ: Environ) -> Answer:
        if LOCK_HEADERS & request.headers.keys():  # locks are kept here, by the test's clock
            environ = {name: value for name, value in environ.items() if _header_name(name) not in LOCK_HEADERS}
        answer = forward(self._inner, environ, request.body)
        for name in _ECHOES | ({"x-amz-storage-class"} if request.method == "PUT" else set()):
            answer.headers.pop(name, None)
        return answer

    def _on_setting(self, request: Request, environ: Environ) -> Answer:
        self.bill.request({"GET": "get"}.get(request.method, "delete"), "STANDARD")  # changes are the owner's, unbilled
        name = next(name for name in SETTINGS if name in request.query)
        answer = settings.answer(request, name, self.vault.of(request.bucket))
        if name == "intelligent-tiering":
            self.vault.refit(request.bucket)
        return answer

    def _on_bucket(self, request: Request, environ: Environ) -> Answer:
        locks = request.header("x-amz-bucket-object-lock-enabled").lower() == "true"
        answer = self._pass(request, {k: v for k, v in environ.items() if "BUCKET_OBJECT_LOCK" not in k})
        if answer.is_ok and request.method == "PUT" and not request.query:
            self.vault.settings.pop(request.bucket, None)
            self.vault.of(request.bucket).can_lock = self.vault.of(request.bucket).is_versioned = locks
            if locks:
                self.vault.version(request.bucket)
        elif answer.is_ok and request.method == "PUT" and "versioning" in request.query:
            self.vault.of(request.bucket).is_versioned = answers.text_of(request.body, "Status") == "Enabled"
        elif answer.is_ok and request.method == "DELETE" and not request.query:
            self.vault.settings.pop(request.bucket, None)
        return answer

    def _on_lock(self, request: Request, environ: Environ) -> Answer:
        stored = self._named(request)
        if stored is None:
            raise Refused("NoSuchKey")
        if not self.vault.of(request.bucket).can_lock:
            raise Refused("InvalidRequest", "Bucket is missing Object Lock Configuration")
        return answer_lock(request, stored.lock, self.clock.now_ns())

    def _on_tags(self, request: Request, environ: Environ) -> Answer:
        self.bill.request("get" if request.method == "GET" else "put", "STANDARD")
        return self._pass(request, environ)

    def _on_put(self, request: Request, environ: Environ) -> Answer:
        storage_class = request.header("x-amz-storage-class", "STANDARD")
        self.bill.request("put", storage_class)
        check_body(request, request.body)
        self.keys.use(self.keys.of(request), "GenerateDataKey")
        answer = self._pass(request, environ)
        if answer.is_ok:
            self._store(request, answer, len(request.body), answer.headers.get("etag", ""))
        return answer

    def _on_copy(self, request: Request, environ: Environ) -> Answer:
        self.bill.request("copy", request.header("x-amz-storage-class", "STANDARD"))
        self._check_versions(request)
        size = self._readable_source(request)
        self.keys.use(self.keys.of(request), "GenerateDataKey")
        answer = self._pass(request, environ)
        if answer.is_ok:
            self._store(request, answer, size, answers.text_of(answer.body, "ETag"))
        return answer

    def _on_create(self, request: Request, environ: Environ) -> Answer:
        storage_class = request.header("x-amz-storage-class", "STANDARD")
        self.bill.request("put", part_class(storage_class))
        self.keys.use(self.keys.of(request), "GenerateDataKey")
        answer = self._pass(request, environ)
        if answer.is_ok:
            now, place = self.clock.now_ns(), (request.bucket, request.key)
            upload = Upload(place, storage_class, now, now, self.keys.of(request))
            self.vault.uploads[answers.text_of(answer.body, "UploadId")] = upload
        return answer

    def _on_part(self, request: Request, environ: Environ) -> Answer:
        upload = self.vault.uploads.get(request.query["uploadId"])
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
            self.vault.hold_upload(upload)
            upload.parts[int(request.query["partNumber"])] = body
            upload.copied[int(request.query["partNumber"])] = copied
        return answer

    def _on_complete(self, request: Request, environ: Environ) -> Answer:
        upload = self.vault.uploads.get(request.query["uploadId"])
        self.bill.request("put", upload.storage_class if upload else "STANDARD")
        whole = b"".join(upload.parts[number] for number in sorted(upload.parts)) if upload else b""
        check_body(request, whole)
        self._check_versions(request)
        answer = self._pass(request, environ)
        if answer.is_ok and upload is not None:
            self.vault.hold_upload(self.vault.uploads.pop(request.query["uploadId"]))
            self._store(request, answer, upload.size, answers.text_of(answer.body, "ETag"), upload)
        return answer

    def _on_abort(self, request: Request, environ: Environ) -> Answer:
        upload = self.vault.uploads.pop(request.query["uploadId"], None)
        if upload is not None:
            self.vault.hold_upload(upload)
        return self._pass(request, environ)

    def _on_get(self, request: Request, environ: Environ) -> Answer:
        stored = self._named(request)
        self.bill.request("get", stored.storage_class if stored else "STANDARD")
        if stored and stored.look(self.clock.now_ns()) in {"cold", "warming"}:
            raise Refused("InvalidObjectState")
        self.keys.use(stored.kms_key if stored else "", "Decrypt")
        answer = self._pass(request, environ)
        if stored and answer.is_ok:
            if stored.storage_class not in ARCHIVED:
                self.bill.retrieval(stored.storage_class, len(answer.body))
            self.vault.read(stored)
            self._say(stored, answer)
        return answer

    def _on_head(self, request: Request, environ: Environ) -> Answer:
        stored = self._named(request)
        self.bill.request("head", stored.storage_class if stored else "STANDARD")
        if stored and request.header("x-amz-checksum-mode") == "ENABLED":
            self.keys.use(stored.kms_key, "Decrypt")
        answer = self._pass(request, environ)
        if stored and answer.is_ok:
            self._say(stored, answer)
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
        place, version_id = (request.bucket, request.key), request.query.get("versionId", "")
        if request.header("if-match"):
            if place not in self.objects:
                raise Refused("NoSuchKey")
            self._check_versions(request)
        stored = self._named(request)
        if version_id and stored and stored.lock.forbids_deletion(self.clock.now_ns(), bypass=bypasses(request)):
            raise Refused("AccessDenied", "Access Denied because object protected by object lock.")
        answer = self._pass(request, environ)
        if not answer.is_ok:
            return answer
        if version_id:
            self.vault.end_version(place, version_id)
        elif self.vault.of(request.bucket).is_versioned:
            self.vault.mark(place, answer.headers["x-amz-version-id"])
        else:
            self.vault.end(place)
        return answer

    def _on_restore(self, request: Request, environ: Environ) -> Answer:
        stored = self._named(request)
        if stored is None:
            return self._pass(request, environ)
        now = self.clock.now_ns()
        look = stored.look(now)
        if look == "instant":
            raise Refused("InvalidObjectState", "Restore is not allowed for the object's current storage class")
        speed = answers.text_of(request.body, "Tier") or "Standard"
        days = int(answers.text_of(request.body, "Days") or 0)
        seconds = restore_seconds(stored.archived_as(now), speed)
        if seconds is None or (days < 1) != bool(stored.ladder):
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
        if not stored.ladder:
            self.bill.restore(stored.storage_class, speed, stored.size)
        elif speed == "Expedited":  # the only one that is not free out of Intelligent-Tiering
            self.bill.restore("GLACIER", speed, stored.size)
        ready_ns = now + seconds * NS_PER_S
        stored.restore = Restore(speed, min(ready_ns, running.ready_ns) if running else ready_ns, days)
        if not running and not stored.ladder:
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
        self.keys.use(stored.kms_key, "Decrypt")
        size = stored.size
        if span := request.header("x-amz-copy-source-range").removeprefix("bytes="):
            first, _, last = span.partition("-")
            size = int(last) - int(first) + 1
        if stored.storage_class not in ARCHIVED:
            self.bill.retrieval(stored.storage_class, size)
        self.vault.read(stored)
        return size

    def _named(self, request: Request) -> StoredObject | None:
        """Return the object, or the version of it, that a request is about."""
        place, version_id = (request.bucket, request.key), request.query.get("versionId", "")
        current = self.objects.get(place)
        if not version_id or (current and current.version_id == version_id):
            return current
        return self.vault.noncurrent.get((*place, version_id))

    def _check_versions(self, request: Request) -> None:
        """Refuse where source or destination is not the version that the request names; moto does not look."""
        named = [("if-match", (request.bucket, request.key))]
        if request.is_copy:
            named.append(("x-amz-copy-source-if-match", request.source))
        for header, place in named:
            stored = self.objects.get(place)
            if request.header(header) and (stored is None or request.header(header) != stored.etag):
                raise Refused("PreconditionFailed")

    def _store(self, request: Request, answer: Answer, size: int, etag: str, upload: Upload | None = None) -> None:
        now, settings = self.clock.now_ns(), self.vault.of(request.bucket)
        storage_class = upload.storage_class if upload else request.header("x-amz-storage-class", "STANDARD")
        stored = StoredObject(size, storage_class, now, now, etag=etag, created_ns=now, warm_ns=now)
        stored.kms_key = upload.kms_key if upload else self.keys.of(request)
        if settings.is_versioned:
            stored.version_id = answer.headers["x-amz-version-id"]
        stored.lock = asked_for(request.headers)
        if not stored.lock.mode:
            stored.lock.mode, stored.lock.until_ns = (it := settings.default_lock(now)).mode, it.until_ns
        self.vault.store((request.bucket, request.key), stored)

    def _say(self, stored: StoredObject, answer: Answer) -> None:
        answer.headers.pop("x-amz-restore", None)
        now = self.clock.now_ns()
        look = stored.look(now)  # first: it fixes the expiry
        header = answers.restore_header(look, stored.restore.expires_ns if stored.restore else 0)
        if header:
            answer.headers["x-amz-restore"] = header
        if stored.ladder and stored.step(now).is_archived:
            answer.headers["x-amz-archive-status"] = ACCESS_STATUS[stored.step(now).name]
        answer.headers.update(stored.lock.headers())


_ECHOES = {"x-amz-sdk-checksum-algorithm", "x-amz-content-sha256", "x-amz-checksum-algorithm"}


def _header_name(name: str) -> str:
    return name.removeprefix("HTTP_").replace("_", "-").lower()


@contextmanager
def cloud(clock: Clock, book: PriceBook) -> Iterator[tuple[S3Server, Cloud]]:
    """Serve an empty Cloud on a free port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Cloud(clock, book, DomainDispatcherApplication(create_backend_app))
    server = Server(app)
    app.until_quiet = server.until_quiet
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield S3Server("cloud", f"http://127.0.0.1:{server.server_port}"), app
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
