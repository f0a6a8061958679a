"""What is kept of a batch: how large it was, how its columns are read, and how often each test was broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from quality_assets.domain.quality.datasets.numbers import NumberFormat
from quality_assets.domain.quality.datasets.values import ColumnForm


@dataclass(frozen=True)
class Profile:
    """One batch. `missing` has shares by column, `tested` (broken, cells) by rule_id, times are seconds since 1970.

    `is_normal` is false of a batch that raised an alert, and from which nothing is learnt therefore. `alerts` are the
    rule_ids of what it raised them for.
    """

    batch: str
    rows: int
    columns: tuple[str, ...]
    forms: Mapping[str, ColumnForm]
    missing: Mapping[str, float] = field(default_factory=dict)
    copied_share: float = 0.0
    tested: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    spikes: Mapping[str, float] = field(default_factory=dict)
    repeats: Mapping[str, int] = field(default_factory=dict)
    summary: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    first_time: float | None = None
    last_time: float | None = None
    is_normal: bool = True
    alerts: tuple[str, ...] = ()
    score: float | None = None
    refused_share: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        told = asdict(self)
        told["forms"] = {n: {**asdict(f), "missing_tokens": sorted(f.missing_tokens)} for n, f in self.forms.items()}
        return told

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Profile:
        """As it was before `as_dict`."""
        forms = {name: _form(form) for name, form in told["forms"].items()}
        tested = {name: (int(pair[0]), int(pair[1])) for name, pair in told["tested"].items()}
        texts = {"columns": tuple(told["columns"]), "alerts": tuple(told["alerts"])}
        return cls(**{**told, **texts, "forms": forms, "tested": tested})


def _form(told: Mapping[str, Any]) -> ColumnForm:
    """How a column was read; numbers with commas were told by a word of their own once."""
    known = {**told, "missing_tokens": frozenset(told["missing_tokens"])}
    written = NumberFormat(thousands=",") if known.pop("has_commas", False) else known.pop("number_format", None)
    if isinstance(written, Mapping):
        written = NumberFormat(**written)
    others = tuple(known.pop("other_time_formats", ()))
    return ColumnForm(**{**known, "number_format": written, "other_time_formats": others})


MOST_PAST = 10
"""So many batches are learnt from."""
MOST_COUNTED = 60
"""Beside so many batches rows are counted: eight of a weekday, where they are daily."""
_SETTLED = 3


def learnt_from(profiles: Sequence[Profile], most: int = MOST_PAST) -> list[Profile]:
    """The past batches, oldest first, that teach what is usual.

    Those that raised no alert; and those whose alert each of the next two raised again, as then this is how it is now.
    """
    settled: set[str] = set()
    if len(profiles) >= _SETTLED:
        last = [set(profile.alerts) for profile in profiles[-_SETTLED:]]
        settled = set.intersection(*last)
    normal = [p for p in profiles if p.is_normal or (settled and set(p.alerts) <= settled)]
    return normal[-most:]
