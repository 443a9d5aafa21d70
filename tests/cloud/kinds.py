"""What a request to the cloud is, in the words of Cloud.plan()."""

from tests.cloud.settings import SETTINGS
from tests.cloud.wire import Request

_OF_THE_BUCKET = {"location", "uploads", "versioning", "policy", "ownershipControls", "versions", "encryption"}


def kind_of(request: Request) -> str:
    """Return put, get, head, list, copy, restore, delete, part, create, complete, abort, tags, lock, setting, bucket or
    other.
    """
    if not request.key:
        return _of_bucket(request)
    query = request.query
    for names, kind in ((("tagging",), "tags"), (("retention", "legal-hold"), "lock"), (("acl",), "other")):
        if any(name in query for name in names):
            return kind
    if request.method == "PUT" and "partNumber" not in query:
        return "copy" if request.is_copy else "put"
    return next((kind for name, kind in _WITH.get(request.method, ()) if name in query), _PLAIN[request.method])


# Method -> (query, kind); ListParts is a GET with an upload.
_WITH = {
    "PUT": (("partNumber", "part"),),
    "POST": (("uploads", "create"), ("uploadId", "complete"), ("restore", "restore")),
    "DELETE": (("uploadId", "abort"),),
    "GET": (("uploadId", "list"),),
}
_PLAIN = {"PUT": "put", "POST": "other", "DELETE": "delete", "GET": "get", "HEAD": "head"}


def _of_bucket(request: Request) -> str:
    query = request.query
    if SETTINGS.keys() & query.keys():
        return "setting"
    is_listing = request.method == "GET" and not _OF_THE_BUCKET & query.keys()
    return "list" if is_listing or {"uploads", "versions"} & query.keys() else "bucket"
