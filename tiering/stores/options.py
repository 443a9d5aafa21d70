"""How a store is reached and how hard it may be driven: plain values, made from a tier's configuration."""

from dataclasses import dataclass

# A pack (64 MiB unless configured) then goes up in one request; S3 wants parts of at least 5 MiB.
DEFAULT_PART_BYTES = 96 * 2**20
SMALLEST_PART_BYTES = 5 * 2**20

ONE_COPY_BYTES = 5 * 10**9
"""CopyObject stops at 5 GB (docs.aws.amazon.com, "CopyObject"): larger objects change class in parts."""
COPY_PART_BYTES = 2**30
"""Of a class change in parts; 10,000 parts are allowed, so objects up to 10 TiB."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Of one store. The URL says where it is."""

    endpoint_url: str = ""
    """Of an S3 server that is not AWS; "" for AWS."""
    region: str = ""
    """"" for what the environment or the profile says."""
    profile: str = ""
    """Of ~/.aws/config; "" for the default chain of credentials."""
    path_style: bool = False
    """bucket in the path, as most servers other than AWS want it."""
    sign_payload: bool | None = None
    """Whether uploads are signed by SHA-256 beside their checksum, five times the CPU. None: only where they leave this
    machine without TLS."""
    max_concurrency: int = 16
    """Requests at once, > 0."""
    bandwidth_bytes_per_s: int = 0
    """Up and down together; 0: no limit."""
    deadline_s: float = 120.0
    """How long one operation may be retried before it fails. 0: never again."""
    part_size: int = DEFAULT_PART_BYTES
    """Larger objects go up in parts of this size; at least 5 MiB."""
    encryption: str = ""
    """Of new objects at rest: "" (the bucket's default), "AES256" (SSE-S3) or "aws:kms"."""
    kms_key: str = ""
    """Id or ARN of the key for aws:kms; "" for the account's own."""
    bucket_key: bool = True
    """With aws:kms: one data key for the bucket instead of one KMS request per object."""
    tags: tuple[tuple[str, str], ...] = ()
    """(name, value) put on every object, for the provider's bill."""
