"""Seeds from named axes: adding a method or a dataset moves nobody else's numbers."""

from __future__ import annotations

import hashlib


def seed_for(*axes: object) -> int:
    """A seed below 2**63 from the axes' names, e.g. (dataset, method, seed number, purpose)."""
    text = "/".join(str(axis) for axis in axes)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
