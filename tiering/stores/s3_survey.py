"""What a bucket does behind the back of whoever stores in it, and what lies about in it: for doctor.

Versions, locks, replication, lifecycle rules, archive access tiers, unfinished uploads. Reads settings and listings;
changes nothing. A setting that may not be read, or that the server does not know, is named and passed over.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tiering.stores.bucket_facts import RuleFacts, Survey
from tiering.stores.options import StoreOptions
from tiering.stores.s3 import connect
from tiering.stores.s3_errors import Call, ProviderAnswer, code_of, status_of, translated

PAGES = 200
"""Of versions that are listed, 1,000 each: a dollar cent in requests, half a minute."""
UPLOADS = 100
"""Unfinished uploads whose parts are added up."""

_OURS = ("packs/", "recipes/", "segments/", "frostline.json")

_UNSET = frozenset({
    "NoSuchLifecycleConfiguration", "ObjectLockConfigurationNotFoundError", "ReplicationConfigurationNotFoundError",
    "NoSuchConfiguration", "NoSuchUpload",
})  # fmt: skip


def survey(bucket: str, prefix: str, options: StoreOptions) -> Survey:
    """Look at *bucket*, of whose keys those under *prefix* are ours. Raises StoreError where it cannot be reached."""
    client = connect(options, url=f"s3://{bucket}/{prefix}".rstrip("/"), bucket=bucket)
    found = Survey()
    look = _Look(client, bucket, prefix, found)
    with translated(Call(f"s3://{bucket}", bucket, "", "look at", str(client.meta.endpoint_url))):
        look.settings()
        if found.versioning:
            look.versions()
        look.uploads()
    return found


class _Look:
    """One bucket being looked at."""

    def __init__(self, client: Any, bucket: str, prefix: str, found: Survey) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._found = found

    def settings(self) -> None:
        """Read the bucket's settings."""
        client, found = self._client, self._found
        found.versioning = str(self._ask("versioning", client.get_bucket_versioning).get("Status") or "")
        lock = self._ask("Object Lock", client.get_object_lock_configuration).get("ObjectLockConfiguration", {})
        found.retention = _retention(lock)
        replication = self._ask("replication", client.get_bucket_replication).get("ReplicationConfiguration", {})
        found.replicas = tuple(_replicas(replication, self._prefix))
        rules = self._ask("lifecycle rules", client.get_bucket_lifecycle_configuration).get("Rules", [])
        found.rules = tuple(rule for rule in map(_rule, filter(_is_on, rules)) if _touches(rule.prefix, self._prefix))
        tiering = self._ask("archive access tiers", client.list_bucket_intelligent_tiering_configurations)
        found.archiving = _archiving(tiering.get("IntelligentTieringConfigurationList", []), self._prefix)

    def versions(self) -> None:
        """Add up old versions and delete markers."""
        found = self._found
        pages = self._pages("list_object_versions", "old versions", Prefix=self._prefix)
        for number, page in enumerate(pages):
            for item in page.get("Versions", []):
                if not item["IsLatest"]:
                    found.old_versions[str(item.get("StorageClass") or "STANDARD")] += int(item["Size"])
                    found.old_count += 1
            for item in page.get("DeleteMarkers", []):
                found.markers += 1
                found.marker_bytes += len(str(item["Key"]).encode())
            if number + 1 == PAGES:
                found.is_cut = bool(page.get("IsTruncated"))
                return

    def uploads(self) -> None:
        """Add up the parts of unfinished uploads."""
        found = self._found
        for page in self._pages("list_multipart_uploads", "unfinished uploads", Prefix=self._prefix):
            for item in page.get("Uploads", []):
                found.uploads += 1
                if found.uploads <= UPLOADS:
                    where = {"Key": item["Key"], "UploadId": item["UploadId"]}
                    for parts in self._pages("list_parts", "parts of uploads", **where):
                        size = sum(int(part["Size"]) for part in parts.get("Parts", []))
                        found.upload_parts[str(item.get("StorageClass") or "STANDARD")] += size

    def _ask(self, what: str, call: Callable[..., Mapping[str, Any]]) -> Mapping[str, Any]:
        self._found.gets += 1
        try:
            return call(Bucket=self._bucket)
        except ProviderAnswer as error:
            self._pass_over(what, error)
            return {}

    def _pages(self, operation: str, what: str, **request: Any) -> Iterator[Mapping[str, Any]]:
        try:
            for page in self._client.get_paginator(operation).paginate(Bucket=self._bucket, **request):
                self._found.lists += 1
                yield page
        except ProviderAnswer as error:
            self._pass_over(what, error)

    def _pass_over(self, what: str, error: Any) -> None:
        code = code_of(error)
        if code in _UNSET or status_of(error) in {405, 501}:
            return  # not set, or the server does not have such a thing at all
        self._found.unknown.append(f"{what} ({code})")


def _is_on(rule: Mapping[str, Any]) -> bool:
    return rule.get("Status") == "Enabled"


def _touches(theirs: str, prefix: str, ours: tuple[str, ...] = _OURS) -> bool:
    """Return whether keys that begin with *theirs* may be keys of ours."""
    return any(theirs.startswith(prefix + own) or (prefix + own).startswith(theirs) for own in ours)


def _retention(lock: Mapping[str, Any]) -> str:
    if lock.get("ObjectLockEnabled") != "Enabled":
        return ""
    default = lock.get("Rule", {}).get("DefaultRetention", {})
    if not default.get("Mode"):
        return "on"
    length = f"{default['Days']} days" if default.get("Days") else f"{default['Years']} years"
    return f"{default['Mode']} for {length}"


def _replicas(replication: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for rule in filter(_is_on, replication.get("Rules", [])):
        named = rule.get("Filter", {})
        theirs = str(named.get("Prefix") or named.get("And", {}).get("Prefix") or rule.get("Prefix") or "")
        if _touches(theirs, prefix):
            there = rule["Destination"]
            yield str(there["Bucket"]).rpartition(":")[2], str(there.get("StorageClass") or "")


def _rule(rule: Mapping[str, Any]) -> RuleFacts:
    named = rule.get("Filter") or {}
    every = named.get("And") or named
    tags = [*every.get("Tags", []), *([every["Tag"]] if "Tag" in every else [])]
    return RuleFacts(
        name=str(rule.get("ID") or "without a name"),
        prefix=str(every.get("Prefix") or rule.get("Prefix") or ""),
        needs_tags={str(tag["Key"]): str(tag["Value"]) for tag in tags},
        transitions=tuple((int(it.get("Days") or 0), str(it["StorageClass"])) for it in rule.get("Transitions", [])),
        expires_days=_days(rule.get("Expiration"), "Days"),
        ends_old_versions_days=_days(rule.get("NoncurrentVersionExpiration"), "NoncurrentDays"),
        aborts_uploads_days=_days(rule.get("AbortIncompleteMultipartUpload"), "DaysAfterInitiation"),
    )


def _days(action: Mapping[str, Any] | None, name: str) -> int | None:
    """Return after how many days; an expiry at a date counts as one that is due."""
    if not action:
        return None
    return int(action[name]) if name in action else 0 if "Date" in action else None


def _archiving(found: list[Mapping[str, Any]], prefix: str) -> tuple[int, int]:
    days: Counter[str] = Counter()
    for one in filter(_is_on, found):
        named = one.get("Filter", {})
        if _touches(str(named.get("Prefix") or named.get("And", {}).get("Prefix") or ""), prefix, ("packs/",)):
            days.update({str(tier["AccessTier"]): int(tier["Days"]) for tier in one.get("Tierings", [])})
    return days["ARCHIVE_ACCESS"], days["DEEP_ARCHIVE_ACCESS"]
