"""What was made last in this process, for who asks for the same next: several steps of a run do."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Made = TypeVar("Made")


@dataclass
class LastMade(Generic[Made]):
    """At most one result, and what it was made of: `of` must differ wherever another result would come."""

    _kept: dict[Hashable, Made] = field(default_factory=dict)

    def get(self, of: Hashable, make: Callable[[], Made], *, is_kept: bool = True) -> Made:
        """What was made last where it was made of the same; else what `make` gives, which takes its place.

        The caller must not change it. Without `is_kept` it is not kept: what is large should not lie about.
        """
        if of in self._kept:
            return self._kept[of]
        # Before it is made: two at once would be twice the memory.
        self._kept.clear()
        made = make()
        if is_kept:
            self._kept[of] = made
        return made
