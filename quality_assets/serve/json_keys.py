"""Objects of JSON that have a key twice: what they say depends on who reads them, so that nobody guesses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any


class RepeatedKeys(dict[str, Any]):
    """An object that has a key twice; `pairs` are all that it says, in its order."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = tuple(pairs)

    @property
    def first(self) -> str:
        """The first key that it has twice."""
        names = [name for name, _ in self.pairs]
        return next(name for at, name in enumerate(names) if name in names[:at])


def with_repeats(body: bytes, value: Any) -> Any:
    """`value`, which a JSON body was decoded to, with those of its objects that have a key twice as `RepeatedKeys`.

    A body that has as many keys as `value` repeats none, which is a microsecond or two an event.
    """
    if body.count(b'":') == _keys(value) and b" :" not in body:
        return value
    return json.loads(body, object_pairs_hook=_read)


def _keys(value: Any) -> int:
    """How many keys its objects have; the generators that would say it shorter take three times as long."""
    if type(value) is not dict and type(value) is not list:
        return 0
    found = len(value) if type(value) is dict else 0
    within: Iterable[Any] = value.values() if type(value) is dict else value
    for each in within:
        if type(each) is dict or type(each) is list:
            found += _keys(each)
    return found


def _read(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else RepeatedKeys(pairs)


def items_with_repeats(body: bytes, value: Any) -> Any:
    """As `with_repeats` of a body that is an item, a list of them, or has one in `batch`, of the items alone.

    What an item holds besides is kept as text, as it is of a log's lines; there the last value of a key counts.
    """
    marked = with_repeats(body, value)
    if marked is value:
        return value
    if isinstance(marked, list):
        return [_plain_within(item) for item in marked]
    if type(marked) is dict and isinstance(marked.get("batch"), list):
        return _plain_within(marked) | {"batch": [_plain_within(item) for item in marked["batch"]]}
    return _plain_within(marked)


def _plain_within(item: Any) -> Any:
    return {name: _plain(each) for name, each in item.items()} if type(item) is dict else item


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
