"""A 64-bit digest of a user's live rows, kept incrementally: XOR of one hash for each row."""

from __future__ import annotations

from hashlib import blake2b

EMPTY = 0


def row_digest(collection: str, key: str, version: int) -> int:
    """The 64-bit hash of one live row; XOR it in when the row appears, again when it goes."""
    text = f"{collection}\0{key}\0{version}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def to_text(digest: int) -> str:
    """16 hex digits, as on the wire."""
    return f"{digest:016x}"
