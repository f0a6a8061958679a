"""More errors of a kind never give a table a better score, without a past and with one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_blocks import text_block

from quality_assets.domain.quality.datasets import examine
from tests.examples import dear

ROWS = 200
STATES = {"Berlin": "BE", "Hamburg": "HH", "Munich": "BY", "Cologne": "NW"}
NEXT = {"BE": "HH", "HH": "BY", "BY": "NW", "NW": "BE"}
Columns = Mapping[str, Sequence[object]]

# Beyond so many, one slip of a value is half as frequent as it, one category or one form is one more, one column
# decides no other, and what is below zero may be a measure that goes through it.
MOST = {"one typo": 15, "cut": 30, "form": 20, "dependency": 20, "category": 14, "sign": 20, "words": 80}
FAULTS: dict[str, tuple[str, Callable[[object], object]]] = {
    "one typo": ("city", lambda _: "Berlni"),
    "cut": ("city", lambda value: str(value)[:4]),
    "capitals": ("city", lambda value: str(value).upper()),
    "misread": ("city", lambda value: f"{value}Ã¼"),
    "category": ("city", lambda _: "zz9"),
    "zero": ("price", lambda _: 0),
    "dependency": ("state", lambda value: NEXT[str(value)]),
    "form": ("code", lambda value: f"#{value}"),
    "missing": ("price", lambda _: None),
    "words": ("price", lambda _: "error"),
    "unit": ("price", lambda value: float(str(value)) * 1000),
    "sentinel": ("price", lambda _: -999),
    "sign": ("price", lambda value: -float(str(value))),
    "money": ("size", lambda value: f"$ {value}"),
    "word": ("size", lambda _: "not measured"),
    "both sides": ("size", lambda value: int(str(value)) * 37 - 1500),
    "strewn": ("price", lambda value: 500 + float(str(value)) * 7),
}


def _table(seed: int) -> dict[str, list[object]]:
    generator = np.random.default_rng(seed)
    city = generator.choice(list(STATES), ROWS).tolist()
    return {
        "city": city,
        "state": [STATES[name] for name in city],
        "code": [f"K{n:03}" for n in generator.permutation(ROWS)],
        "price": np.round(generator.uniform(20, 90, ROWS), 2).tolist(),
        "size": generator.integers(20, 60, ROWS).tolist(),
    }


def _strewn(cities: Sequence[object]) -> list[int]:
    """The rows in an order that takes the first of each city, then the second of each, and so on."""
    seen: Counter[object] = Counter()
    turns = []
    for city in cities:
        turns.append(seen[city])
        seen[city] += 1
    return sorted(range(len(cities)), key=turns.__getitem__)


def _score(table: Columns, past: examine.Past) -> tuple[float, examine.Past]:
    """The score of a table, and the past with it."""
    block, asked = text_block(**table), examine.Asked()
    made = examine.plan(block, past, asked)
    tally = examine.count([block], made)
    rows = examine.Rows(block.rows, tuple(block.columns), 0, {})
    verdict = examine.verdict(rows, block, tally, made, past, asked)
    profile = examine.profile(str(len(past.blocks)), rows, block, tally, made, verdict, asked)
    assert verdict.score is not None
    return verdict.score, examine.Past([*past.profiles, profile], [*past.blocks, block])


@pytest.mark.parametrize("kind", FAULTS)
@given(
    seed=st.integers(0, 10_000),
    shares=st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
    has_past=st.booleans(),
)
@settings(max_examples=dear(8), deadline=None)
def test_more_errors_never_give_a_better_score(kind: str, seed: int, shares: list[float], has_past: bool) -> None:
    name, fault = FAULTS[kind]
    past = examine.Past()
    for day in range(3 if has_past else 0):
        _, past = _score(_table(seed + 20_000 + day), past)
    most = MOST.get(kind, ROWS // 4)
    found = []
    for count in (0, *(round(share * most) for share in shares), most):
        table = _table(seed)
        for row in _strewn(table["city"])[:count]:
            table[name][row] = fault(table[name][row])
        found.append(_score(table, past)[0])
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]
