"""The words of a finding: its kinds, the dimension that each bears on, and what is found and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal[
    "missing",
    "duplicate",
    "type",
    "schema",
    "rename",
    "format",
    "typo",
    "closed_set",
    "range",
    "outlier",
    "dependency",
    "identity",
    "ratio",
    "spike",
    "distribution",
    "volume",
    "freshness",
    "custom",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

DIMENSION_OF: dict[str, str] = {
    "missing": "completeness",
    "duplicate": "uniqueness",
    "type": "validity",
    "schema": "schema",
    "rename": "schema",
    "format": "validity",
    "typo": "validity",
    "closed_set": "validity",
    "range": "validity",
    "outlier": "plausibility",
    "dependency": "consistency",
    "identity": "consistency",
    "ratio": "consistency",
    "spike": "plausibility",
    "distribution": "plausibility",
    "volume": "volume",
    "freshness": "timeliness",
    "custom": "validity",
}
SCORED_DIMENSIONS = ("completeness", "validity", "consistency", "uniqueness", "plausibility", "schema")
"""The dimensions that the score is made of; volume and timeliness stand beside it."""
DIMENSIONS = (*SCORED_DIMENSIONS, "volume", "timeliness")


@dataclass(frozen=True)
class Finding:
    """What a batch breaks.

    `count` is in cells, or in rows for duplicates and volume, in columns for schema and rename, in hours for
    freshness; `share` is of the cells or rows that were looked at. `expected_share` is what the past shows, None
    without one. `doubt` is how many cells of the score's numerator it accounts for alone. `p_value` is the chance of
    such a count where all is as before, None where the past says nothing.
    """

    kind: str
    columns: tuple[str, ...]
    count: int
    share: float
    sentence: str
    detector: str = ""
    weight: float = 0.0
    expected_share: float | None = None
    doubt: float = 0.0
    p_value: float | None = None
    is_alert: bool = False
    examples: tuple[str, ...] = field(default=())
    severity: str = "medium"
    own_dimension: str | None = None

    @property
    def dimension(self) -> str:
        """The dimension of quality that it bears on."""
        return self.own_dimension or DIMENSION_OF[self.kind]

    @property
    def rule_id(self) -> str:
        """What names the rule or detector within its dataset."""
        return rule_id(self.detector or self.kind, self.columns)

    def as_dict(self) -> dict[str, Any]:
        """As scripts are given it."""
        return {
            "kind": self.kind,
            "dimension": self.dimension,
            "columns": list(self.columns),
            "count": self.count,
            "share": round(self.share, 6),
            "sentence": self.sentence,
            "rule": self.rule_id,
            "expected_share": None if self.expected_share is None else round(self.expected_share, 6),
            "examples": list(self.examples),
        }


def rule_id(detector: str, columns: Sequence[str]) -> str:
    """The name of a rule: what it tests and where."""
    return f"{detector}({', '.join(columns)})" if columns else detector
