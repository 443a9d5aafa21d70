"""KMS as S3 shows it: keys that are denied, disabled or gone, at upload, read and copy.

Sources: docs.aws.amazon.com, "Using server-side encryption with AWS KMS keys", "HeadObject" (ChecksumMode), and the
error codes of the S3 API.
"""

from dataclasses import dataclass, field

from tests.cloud.answers import Refused
from tests.cloud.wire import Request

AWS_KEY = "aws/s3"
DENIED, DISABLED, GONE, MISSING = "denied", "disabled", "gone", "missing"
_CODES = {DISABLED: "KMS.DisabledException", GONE: "KMS.KMSInvalidStateException", MISSING: "KMS.NotFoundException"}


@dataclass(slots=True)
class Keys:
    """The keys that do not work; all others do."""

    states: dict[str, str] = field(default_factory=dict)
    """Key -> denied, disabled, gone or missing."""

    default: str = ""
    """That the buckets encrypt with what does not say; "" for none."""

    def of(self, request: Request) -> str:
        """Return the key that new bytes are to be encrypted with; "" for none."""
        if request.header("x-amz-server-side-encryption") != "aws:kms":
            return self.default
        return request.header("x-amz-server-side-encryption-aws-kms-key-id", AWS_KEY)

    def use(self, key: str, action: str) -> None:
        """Refuse where *key* ("": none) cannot be used for kms:*action*."""
        state = self.states.get(key, "")
        if state == DENIED:
            who = "User: arn:aws:iam::123456789012:user/frostline is not authorized to perform"
            why = f"because no identity-based policy allows the kms:{action} action"
            raise Refused("AccessDenied", f"{who}: kms:{action} on resource: {key} {why}")
        if state:
            raise Refused(_CODES[state])
