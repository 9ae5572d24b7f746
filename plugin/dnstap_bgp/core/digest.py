"""SHA-256 from CPython's own small modules where little is hashed.

Importing `hashlib` loads OpenSSL: 3.5 MB of a process that, with neither TLS nor long lists, has no other use for it.
"""

from typing import Any, Protocol

try:
    from _sha2 import sha256 as _small  # type: ignore[import-not-found,unused-ignore]  # since Python 3.12
except ImportError:
    try:
        from _sha256 import sha256 as _small  # type: ignore[import-not-found,unused-ignore]
    except ImportError:  # a Python that was built to have OpenSSL's only
        _small = None

LARGE_BYTES = 1 << 20
"""From here on OpenSSL's is worth its memory: it is three times as fast, and lets other threads run meanwhile; the
small one keeps the GIL for 6 ms per MiB."""


class Digest(Protocol):
    """Hash object, as `hashlib` has them."""

    def update(self, data: Any, /) -> None:  # noqa: ANN401 - any buffer
        """Hash more bytes."""

    def digest(self) -> bytes:
        """Give the digest of all bytes so far: 32 bytes."""

    def hexdigest(self) -> str:
        """Give the same as 64 hexadecimal digits."""


def sha256(data: bytes | memoryview = b"", *, total_bytes: int = 0) -> Digest:
    """Begin a SHA-256 (FIPS 180-4).

    Args:
        data: The first bytes, or all.
        total_bytes: As many will be hashed in all, if that is more.
    """
    if _small is not None and max(len(data), total_bytes) < LARGE_BYTES:
        small: Digest = _small(data)
        return small
    import hashlib  # noqa: PLC0415 - see this module

    return hashlib.sha256(data)
