"""torch files since 1.6 (.pt, .pth, .ckpt, .bin) and TorchScript archives: a zip of one pickle and of stored members.

Used by dedup.formats. Every storage is a member of its own ("<file stem>/data/3"), 64-byte aligned behind a local
header that holds a CRC and so differs between checkpoints: a region begins where the storage's bytes begin. The pickle
(dedup.formats.pickles; never torch.load) only adds names and types: where it is not understood, storages keep their
place and lose their name.
"""

from dedup.formats.covering import GENERIC, TENSOR, TEXT, cover
from dedup.formats.elements import fitting
from dedup.formats.pickles import Machine
from dedup.formats.reading import Doubt, Reader
from dedup.formats.storages import Storage, storages_of
from dedup.formats.zips import Member
from dedup.values import Region

# Names of 15,000 tensors: about 3 MB. A longer pickle holds data of its own.
LONGEST_PICKLE = 8 << 20
# What TorchScript calls the pickles whose storages stand in the folder of the same name.
_PICKLES = ("data", "constants")
_TEXTS = ("version", "byteorder", ".format_version", ".storage_alignment", ".py", ".json")
# What a pickle of ours may be doubted for: its own words, and numbers or texts that Python refuses.
UNREADABLE = (Doubt, ValueError, OverflowError)


def is_torch(members: list[Member]) -> bool:
    """Tell whether a zip of *members* is a torch file."""
    return any(member.name.endswith("/data.pkl") for member in members)


def segment_torch_zip(reader: Reader, members: list[Member]) -> list[Region]:
    """Return each storage as a tensor, headers and the pickle as generic. Doubt where members overlap."""
    storages: dict[str, Storage] = {}
    little = True
    for member in members:
        folder, _, last = member.name.rpartition("/")
        if last == "byteorder" and member.span.length < 16:
            little = reader.exact(member.span.start, member.span.length).strip() != b"big"
        stem, _, suffix = last.rpartition(".")
        if suffix == "pkl" and stem in _PICKLES and member.is_plain:
            for key, storage in _recorded(reader, member).items():
                storages[f"{folder}/{stem}/{key}"] = storage
    return cover([_region(member, storages, little) for member in members], reader.size)


def _recorded(reader: Reader, member: Member) -> dict[str, Storage]:
    if member.span.length > LONGEST_PICKLE:
        return {}
    try:
        return storages_of(Machine(reader.exact(member.span.start, member.span.length)).run())
    except UNREADABLE:
        return {}


def _region(member: Member, storages: dict[str, Storage], little: bool) -> Region:
    storage = storages.get(member.name)
    if not member.is_plain:
        return Region(member.span, "media")
    if storage is not None:
        element = fitting(storage.element, member.span.length) if little else ""
        return Region(member.span, TENSOR, element, storage.name or member.name.rpartition("/")[2])
    parts = member.name.split("/")
    if len(parts) > 2 and parts[-2] in _PICKLES:
        return Region(member.span, TENSOR, "", ".".join(parts[-2:]))
    return Region(member.span, TEXT if parts[-1].endswith(_TEXTS) else GENERIC)
