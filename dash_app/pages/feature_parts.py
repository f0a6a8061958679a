"""What the parts of the feature page share: the state in its address, and the ids of what comes later."""

from __future__ import annotations

from typing import Any

from quality_assets.read import feature as queries

Component = Any


STATE = queries.SLICE_DIMENSIONS


SLICES, PAIRS, RETENTION, PARTS_REQUEST = "slices", "pairs", "retention", "parts-request"


DIMENSION_WORDS = {"platform": "Platform", "app_version": "App version", "country": "Country"}
