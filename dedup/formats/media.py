"""What is compressed already, by its first bytes: pictures, films, sound, archives of one stream.

Used by dedup.formats and for the members of archives. Chunks of these are wide and stored as they are.
"""

_MAGICS: dict[int, tuple[bytes, ...]] = {
    0: (
        b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00",
        b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"OggS", b"fLaC", b"ID3",
        b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\xff\xf9", b"\x1a\x45\xdf\xa3", b"FLV\x01", b"\x00\x00\x00\x0cJXL ",
        b"\xff\x0a\xfa", b"\x00\x00\x00\x0cjP  ", b"LZIP", b"\x30\x26\xb2\x75", b"wOFF", b"wOF2", b"\x8aMNG",
        b"BPG\xfb", b"qoif", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3",
    ),
    4: (b"ftyp",),
    8: (b"WEBP", b"AVI "),
}  # fmt: skip
"""Offset -> magics: JPEG, PNG, GIF, gzip, bzip2, xz, zstd, lz4, 7z, RAR, Ogg, FLAC, MP3, AAC, Matroska/WebM, FLV,
JPEG XL, JPEG 2000, lzip, ASF, WOFF, MNG, BPG, QOI, MPEG; MP4/HEIF/AVIF; WebP and AVI in RIFF."""
FIRST_BYTES = frozenset(magic[0] for magic in _MAGICS[0])
SECOND_BYTES = frozenset(magic[1] for magic in _MAGICS[0])
# Of a magic of two bytes one file in 65,536 of any other kind would be taken for sound.
_NOISY = (b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\xff\xf9", b"BZh", b"ID3")


def is_media(head: bytes) -> bool:
    """Tell whether a file that begins with *head* (12 bytes or more, if it has them) is compressed already."""
    if not head:
        return False
    if head[0] in FIRST_BYTES and head.startswith(_MAGICS[0]):
        return not head.startswith(_NOISY) or _is_noisy_media(head)
    return head[4:8] in _MAGICS[4] or (head[:4] == b"RIFF" and head[8:12] in _MAGICS[8])


def _is_noisy_media(head: bytes) -> bool:
    if head.startswith(b"BZh"):
        return head[3:4].isdigit() and head[4:10] == b"\x31\x41\x59\x26\x53\x59"
    if head.startswith(b"ID3"):
        return len(head) > 9 and head[3] in {2, 3, 4} and max(head[6:10]) < 0x80
    # An MPEG or ADTS frame header: neither a forbidden bit rate nor a forbidden sampling rate.
    return len(head) > 3 and head[2] >> 4 not in {0, 15} and (head[2] >> 2) & 3 != 3
