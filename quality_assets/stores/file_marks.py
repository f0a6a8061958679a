"""The first bytes by which files are known for what they are, whatever they are called."""

from __future__ import annotations

GZIP = b"\x1f\x8b"
ZSTD = (b"\x28\xb5\x2f\xfd", *(bytes((first,)) + b"\x2a\x4d\x18" for first in range(0x50, 0x60)))
"""A frame of Zstandard, or one to be skipped (RFC 8878), which pzstd writes before each."""
PARQUET = b"PAR1"
ZIP = b"PK\x03\x04"
"""A zip archive, and what is one: workbooks of today's Excel."""
OLE = b"\xd0\xcf\x11\xe0"
"""Documents of the Office of before, workbooks among them."""
