"""Which version this is, and of which date. A test holds both equal to pyproject.toml and the changelog's heading."""

from __future__ import annotations

from datetime import date

VERSION = "0.1.0"
RELEASED = date(2026, 11, 29)
