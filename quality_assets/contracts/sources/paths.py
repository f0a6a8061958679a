"""Paths into nested JSON: `context.device.type`, `event_params[key=page].value.*`.

A step is a key; quotes enclose one that holds a dot or a bracket. `[key=page]` behind it takes the first element of an
array of objects whose `key` is `page`, and `[0]` its first element, whatever that is. A last step `*` takes the first
value that is not null, whatever its key, which is how exports write values of several types. A column of exactly the
path's name goes before the path. A text on the way that is itself JSON is gone through, as where a log's line is
wrapped in another's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r'(?:"(?P<quoted>[^"]+)"|(?P<plain>[^."\[\]]+))(?:\[(?:(?P<place>\d+)|(?P<by>[^=\[\]]+)=(?P<value>[^\[\]]*))\])?(?:\.|$)'
)


@dataclass(frozen=True)
class Step:
    """One key on the way; of an array behind it, the element whose `by` is `value`, or at a `place` from 0 on.

    `any_value` is the `*`.
    """

    key: str
    by: str | None = None
    value: str = ""
    any_value: bool = False
    place: int | None = None

    @property
    def is_key(self) -> bool:
        """Whether it is a key and nothing else."""
        return self.by is None and self.place is None and not self.any_value


@lru_cache(maxsize=4096)
def steps_of(path: str) -> tuple[Step, ...]:
    """The steps of a path; a name that is none is one step, as it stands."""
    steps = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            return (Step(path),)
        is_any = match["plain"] == "*"
        place = None if match["place"] is None else int(match["place"])
        steps.append(Step(match["quoted"] or match["plain"], match["by"], match["value"] or "", is_any, place))
        position = match.end()
    is_whole = steps and not path.endswith(".") and not any(step.any_value for step in steps[:-1])
    return tuple(steps) if is_whole and not steps[0].any_value else (Step(path),)


def is_nested(path: str) -> bool:
    """Whether a name can be read as a path of more than one key."""
    steps = steps_of(path)
    return len(steps) > 1 or not steps[0].is_key


def found(value: Any, steps: Sequence[Step]) -> Any:
    """What a path leads to in a decoded JSON value, through texts that are JSON; None where there is nothing."""
    for step in steps:
        value = _within(value) if isinstance(value, str) else value
        if not isinstance(value, dict):
            return None
        if step.any_value:
            return next((item for item in value.values() if item is not None), None)
        value = value.get(step.key)
        elements = value if isinstance(value, list) else []
        if step.place is not None:
            value = elements[step.place] if step.place < len(elements) else None
        elif step.by is not None:
            value = next((e for e in elements if isinstance(e, dict) and str(e.get(step.by)) == step.value), None)
    return value


def texts_on(value: Any, steps: Sequence[Step]) -> tuple[int, ...]:
    """Behind how many steps of a path stands a text that is JSON, and that the path goes on in."""
    before = ((count, found(value, steps[:count])) for count in range(1, len(steps)))
    return tuple(count for count, text in before if isinstance(text, str) and _within(text))


def _within(text: str) -> Any:
    """The JSON that a text holds; None where it holds none."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
