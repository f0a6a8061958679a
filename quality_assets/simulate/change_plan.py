"""What to simulate of changes without anything being worse. Values and their validation only.

How they are drawn, and what they do to events, lives in `changes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

ChangeKind = Literal["rename", "split", "remove", "mix_users", "mix_devices", "mix_versions", "mix_countries"]
CHANGE_KINDS: tuple[ChangeKind, ...] = get_args(ChangeKind)
NAME_KINDS, MIX_KINDS = CHANGE_KINDS[:3], CHANGE_KINDS[3:]


@dataclass(frozen=True)
class Change:
    """One change that is no fault.

    new_names: of a rename one, of a split two or more. share_before, share_after: of the feature's rows that come from
    the slow group; factor: how many times as slow as the others it is, always.
    """

    change_id: str
    feature: str
    kind: ChangeKind
    start_date: date
    new_names: tuple[str, ...] = ()
    share_before: float = 0.05
    share_after: float = 0.4
    factor: float = 3.0

    def __post_init__(self) -> None:
        least = {"rename": 1, "split": 2}.get(self.kind, 0)
        if self.kind not in CHANGE_KINDS:
            raise ValueError(f"change {self.change_id!r}: unknown kind {self.kind!r}")
        if len(self.new_names) < least or (self.kind == "rename" and len(self.new_names) > 1):
            raise ValueError(f"change {self.change_id!r}: a {self.kind} needs {least} new names or more, a rename one")
        if not (0 <= self.share_before <= 1 and 0 <= self.share_after <= 1 and self.factor > 0):
            raise ValueError(f"change {self.change_id!r}: shares lie between 0 and 1, the factor above 0")
