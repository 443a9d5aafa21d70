"""The catalog's values: states, rows as the queries return them, and what callers hand in.

Rows mirror tiering.catalog.tables column for column, in order. Times are ns since the epoch (UTC), sizes bytes,
paths raw bytes. They are NamedTuples, which are made, and defined, in a fifth of a frozen dataclass's time: some
come by the ten thousand, and every command loads all of them.
"""

from enum import StrEnum
from typing import NamedTuple, Protocol

from dedup.values import Block, Digest, Fingerprint, Recipe


class FileState(StrEnum):
    """Where a file's bytes are."""

    REGULAR = "regular"
    """On the hot disk only. Entered by a scan, or when a stored copy no longer equals the file."""
    MIGRATING = "migrating"
    """Being copied out: a journal row of kind migrate exists. Entered and left by tiering.catalog.journal."""
    DUAL = "dual"
    """On the hot disk and stored. Entered by commit_stored or set_dual."""
    OFFLINE = "offline"
    """Stored only; a placeholder stands at the path. Entered by set_offline or adopt."""
    RECALLING = "recalling"
    """Offline, with a journal row of kind recall. Entered and left by tiering.catalog.journal."""
    MISSING = "missing"
    """Not seen by the last scan; a stored copy is kept for the retention time."""


class PackState(StrEnum):
    """Life of a pack. It only ever moves down this list."""

    PENDING = "pending"
    """Row written before the upload; in no book."""
    LIVE = "live"
    """Committed; may be referred to."""
    DOOMED = "doomed"
    """Referred to by nothing; waits out the grace period. Never adopted, never live again."""
    DELETING = "deleting"
    """Claimed by gc in one transaction; the object may or may not still stand."""
    DELETED = "deleted"
    """Gone from the store. The row stays so that the key is never used again."""


class JournalKind(StrEnum):
    """What is under way on a file."""

    MIGRATE = "migrate"
    RELEASE = "release"
    RECALL = "recall"
    MOVE = "move"
    """Of a pack, between cold tiers: its row names no file."""


class Identity(Protocol):
    """What tells one state of a file from another; tiering.hot.identity has the one that jobs use."""

    @property
    def dev(self) -> int:
        """Device."""

    @property
    def ino(self) -> int:
        """Inode, unsigned or signed 64 bit."""

    @property
    def size(self) -> int:
        """Apparent size."""

    @property
    def mtime_ns(self) -> int:
        """Modification time."""

    @property
    def ctime_ns(self) -> int:
        """Change time."""


class RootRow(NamedTuple):
    """A directory under care."""

    root_id: int
    name: str
    path: bytes
    marker: str
    state: str
    added_ns: int


class FileRow(NamedTuple):
    """One name under a root."""

    file_id: int
    root_id: int
    dir: bytes
    name: bytes
    state: FileState
    leader_id: int | None
    size: int
    mtime_ns: int
    ctime_ns: int
    dev: int
    ino: int
    nlink: int
    mode: int
    uid: int
    gid: int
    recipe_no: int | None
    tier: str | None
    pinned: bool
    first_seen_ns: int
    last_access_ns: int | None
    access_quality: str
    missing_since_ns: int | None
    missing_from: str | None
    recalled_ns: int | None
    stored_ns: int | None
    stored_seq: int | None

    @property
    def path(self) -> bytes:
        """Relative to the root."""
        return self.dir + self.name

    @property
    def is_leader(self) -> bool:
        """Whether the inode's bytes are counted on this name."""
        return self.leader_id is None


class NewFile(NamedTuple):
    """A file that a scan met for the first time. Hard links find their leader by (dev, ino) on their own."""

    root_id: int
    dir: bytes
    name: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    dev: int
    ino: int
    nlink: int
    mode: int
    uid: int
    gid: int
    last_access_ns: int | None
    access_quality: str


class ScannedFile(NamedTuple):
    """What a scan found at the path of a known row. For a placeholder, *size* is ignored."""

    file_id: int
    size: int
    mtime_ns: int
    ctime_ns: int
    dev: int
    ino: int
    nlink: int
    mode: int
    uid: int
    gid: int
    last_access_ns: int | None
    access_quality: str
    is_placeholder: bool = False


class AdoptedFile(NamedTuple):
    """A placeholder found at a path without a row (a moved or copied one), already judged to be the owner's."""

    root_id: int
    dir: bytes
    name: bytes
    recipe_no: int
    placeholder: Identity
    mode: int
    uid: int
    gid: int


class PlacedFile(NamedTuple):
    """A file after its swap: what stands at the path now."""

    file_id: int
    identity: Identity


class PackRow(NamedTuple):
    """One object in a store."""

    pack_no: int
    key: str
    kind: str
    tier: str
    storage_class: str
    state: PackState
    size: int
    framing: int
    checksum: str
    created_ns: int
    doomed_ns: int | None
    owner: str


class PendingPack(NamedTuple):
    """A pack about to be uploaded."""

    key: str
    kind: str
    """data or recipes."""
    tier: str
    storage_class: str
    size: int
    framing: int
    """size less the sum of the blocks' stored_len."""
    checksum: str
    owner: str
    """host:pid:boot of the uploading process: reconcile dooms what dead processes left pending."""


class NewBlock(NamedTuple):
    """A block of a pack that is being committed."""

    pack_no: int
    block: Block
    base_fingerprint: Fingerprint | None = None
    """Of the block's base, where it has one: no index leads from a digest to a chunk."""


class StoredFile(NamedTuple):
    """A file whose recipe and chunks are in the store and await the commit."""

    file_id: int
    identity: Identity
    """The file that was read; its size equals the recipe's."""
    recipe: Recipe
    read_under_lease: bool = False
    """Whether a lease proved that nobody wrote while it was read."""
    seen: FileRow | None = None
    """Its row, as it was some time ago."""


class StoredBatch(NamedTuple):
    """One commit of a migrate: all or nothing, but for the files that are rejected by name."""

    op_id: str
    tier: str
    tiers: tuple[str, ...]
    """Tiers whose live chunks may be reused: *tier* and every warmer cold tier."""
    pack_nos: tuple[int, ...]
    """Pending packs that go live, data and recipes."""
    blocks: tuple[NewBlock, ...]
    """Of the data packs."""
    recipe_blocks: tuple[NewBlock, ...]
    """Of the recipe packs; every file's recipe is in one of them, by its id."""
    files: tuple[StoredFile, ...]
    reason: str = ""


class Rejected(NamedTuple):
    """A file of a batch that was not committed; it is as it was."""

    file_id: int
    reason: str


class BlockPlace(NamedTuple):
    """Where a block's coded payload is, and how to read it."""

    block_no: int
    pack_no: int
    key: str
    tier: str
    offset: int
    stored_len: int
    raw_len: int
    codec: str
    base: Digest | None
    """The chunk whose raw bytes the decoder needs."""


class Location(NamedTuple):
    """Where a chunk is: a stretch of a decoded block. Chunks of one block share the BlockPlace."""

    block: BlockPlace
    inner_offset: int
    length: int
    """Raw bytes."""
    stored_len: int
    """Its share of the block's coded bytes."""
    fingerprint: Fingerprint
    digest: Digest


class RecipePlace(NamedTuple):
    """Where an encoded recipe is: a stretch of a decoded block of a recipe pack."""

    block: BlockPlace
    block_digest: Digest
    """Of the decoded block, which confirms every recipe in it."""
    inner_offset: int
    length: int


class RecipeSpot(NamedTuple):
    """Where a recipe that is being committed stands in its pack."""

    pack_no: int
    block_no: int
    inner_offset: int
    length: int
    stored_len: int
    """Its share of the block."""
    place: int
    """0, 1, 2 ... in the order of the pack's trailer."""


class RecipeRow(NamedTuple):
    """One stored file version."""

    recipe_no: int
    recipe_id: str
    state: str
    """live or doomed."""
    tier: str
    digest: bytes
    size: int
    plain_bytes: int
    """Raw bytes of all its chunks, repeated ones counted again; size less holes where no part is wrapped."""
    owner_uid: int
    block_no: int
    inner_offset: int
    raw_len: int
    """Of the encoded recipe."""
    stored_len: int
    """Its share of the block."""
    created_ns: int
    read_under_lease: bool
    """Whether a lease proved that nobody wrote to the file while it was read."""


class VersionRow(NamedTuple):
    """A stored version that is no longer a path's current one."""

    version_no: int
    root_id: int
    dir: bytes
    name: bytes
    recipe_no: int
    from_ns: int
    superseded_ns: int
    keep_until_ns: int
    reason: str


class JournalRow(NamedTuple):
    """One operation under way on one file."""

    op_id: str
    kind: JournalKind
    file_id: int | None
    step: str
    detail: str
    owner: str
    lease_until_ns: int
    created_ns: int


def signed64(number: int) -> int:
    """Return *number* (0 <= n < 2**64, or already signed) as the signed 64-bit integer that both databases hold."""
    return number - (1 << 64) if number >= 1 << 63 else number
