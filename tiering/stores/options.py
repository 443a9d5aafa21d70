"""How a store is reached and how hard it may be driven: plain values, made from a tier's configuration."""

from dataclasses import dataclass

# A pack (64 MiB unless configured) then goes up in one request; S3 wants parts of at least 5 MiB.
DEFAULT_PART_BYTES = 96 * 2**20
SMALLEST_PART_BYTES = 5 * 2**20


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
    max_concurrency: int = 16
    """Requests at once, > 0."""
    bandwidth_bytes_per_s: int = 0
    """Up and down together; 0: no limit."""
    deadline_s: float = 120.0
    """How long one operation may be retried before it fails. 0: never again."""
    part_size: int = DEFAULT_PART_BYTES
    """Larger objects go up in parts of this size; at least 5 MiB."""
