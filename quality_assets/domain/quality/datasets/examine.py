"""One batch from its rows to its verdict, beside the batches before it: the order in which all is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quality_assets.domain.arrays import Floats
from quality_assets.domain.quality.datasets.cell_tests import CellTest, OutsideRange
from quality_assets.domain.quality.datasets.copies import copies_by_chance
from quality_assets.domain.quality.datasets.detectors import detect, times_span
from quality_assets.domain.quality.datasets.drifting import (
    absent_findings,
    distribution_findings,
    freshness_finding,
    schema_findings,
    spike_findings,
    spikes,
    volume_finding,
    weekday_of,
)
from quality_assets.domain.quality.datasets.neighbour_tests import Alone
from quality_assets.domain.quality.datasets.ordering import Ordering, is_new_group, ordering_of, shown_by
from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.rules import Rules, live_rules
from quality_assets.domain.quality.datasets.table_findings import Finding, rule_id
from quality_assets.domain.quality.datasets.table_score import Counted, Verdict, judge
from quality_assets.domain.quality.datasets.tally import MOST_EXAMPLES, Tally
from quality_assets.domain.quality.datasets.values import Block, Cells, ColumnForm

_WANDERING_ENDS = 0.25
"""By so much of its width the range of a column that is ordered is wider than what it has shown."""
_WITHIN_GAP = 0.25
"""A gap is half as wide as what lies before it, at least."""
_WHOLE = {"number": 1, "time": 86_400}
_LEAST_COUNTED, _COUNTED = 20, 0.8
"""So many numbers are a stretch, where this share of it is there, and of the rows stand for themselves."""
_COUNTED_ON, _STEPS_ON, _STRAY = 0.5, 0.4, 0.2
"""Where so many rows are one more than the one before, fewer need stand for themselves: each wrong one breaks two."""
_MOSTLY = 0.5
_SERIES = 0.8
"""So alike neighbours are where values go on from each other."""


@dataclass(frozen=True)
class Asked:
    """What is known of a dataset besides its rows."""

    key: tuple[str, ...] = ()
    time_column: str | None = None
    cadence_hours: float | None = None
    muted: frozenset[str] = frozenset()
    """The rule_ids of what people say is not a problem."""
    muted_kinds: frozenset[tuple[str, tuple[str, ...]]] = frozenset()
    """Kinds and columns of findings that people say are no problem: of whichever rule they come next time."""
    keeps_examples: bool = True
    """Whether findings may show values of cells."""

    def is_quiet(self, rule: str) -> bool:
        """Whether a rule, or its like with or without a past, is not a problem."""
        return not self.muted.isdisjoint((rule, f"past_{rule}", rule.removeprefix("past_")))


@dataclass(frozen=True)
class Past:
    """The batches before, oldest first: what was kept of each, and rows of each as the rules learn from them."""

    profiles: Sequence[Profile] = ()
    blocks: Sequence[Block] = ()
    last_times: Sequence[float] = ()
    """When each batch before ended, in seconds since 1970, also those that teach nothing."""
    counted: Sequence[Profile] = ()
    """Beside which rows are counted: more than are learnt from, as weekdays differ. `profiles` where there are none."""

    @property
    def forms(self) -> dict[str, ColumnForm]:
        """How columns were read last, so that a batch does not decide by itself what its columns are.

        One of which nothing was there yet was not read in any way.
        """
        return {
            name: form
            for profile in self.profiles
            for name, form in profile.forms.items()
            if profile.missing.get(name, 0.0) < 1
        }

    @cached_property
    def rules(self) -> Rules:
        """What it teaches; learnt once, however many batches are held against it."""
        return live_rules(self.blocks)

    @cached_property
    def ordering(self) -> Ordering:
        """Which columns are ordered in it."""
        return ordering_of(self.blocks)


@dataclass(frozen=True)
class Plan:
    """What a batch is to be asked: the tests of its cells, and what the past has taught."""

    tests: Sequence[CellTest]
    rules: Rules
    spikes: Mapping[str, tuple[float, float, int]] = field(default_factory=dict)
    ordering: Ordering = field(default_factory=Ordering)
    is_new_group: bool = False
    keeps_examples: bool = True


@dataclass(frozen=True)
class Rows:
    """What is counted over all rows by other means than block by block."""

    rows: int
    columns: tuple[str, ...]
    copied_rows: int
    repeats: Mapping[tuple[str, ...], int]
    refused_rows: int = 0
    """Lines that are no rows, and not among them."""
    refused_lines: tuple[int, ...] = ()
    """Which lines the first of those are."""

    @property
    def refused_share(self) -> float:
        """Of all lines, how many are no rows."""
        return self.refused_rows / max(self.rows + self.refused_rows, 1)


def plan(sample: Block, past: Past, asked: Asked, is_whole: bool = True) -> Plan:
    """The tests of a batch: those it suggests by a sample of its rows, and the live rules of its past.

    `is_whole` says that the sample is all of its rows.
    """
    ordering = shown_by(sample, past.ordering)
    rules = past.rules
    suggested = detect(sample) if is_whole else map(_within_gap, detect(sample))
    alive = (_as_rough(rule, sample) if is_whole else rule for rule in rules.alive)
    tests = [*(_widened(rule, ordering) for rule in alive), *suggested]
    told = [t for t in tests if not asked.is_quiet(t.rule_id) and (t.kind, t.columns) not in asked.muted_kinds]
    kept = [
        (t if asked.keeps_examples else t.without_values()).said_of(sample) for t in told if t.applies(sample)
    ]  # fmt: skip
    is_new = is_new_group(sample, ordering, past.blocks)
    return Plan(kept, rules, spikes(sample), ordering, is_new, asked.keeps_examples)


def _within_gap(test: CellTest) -> CellTest:
    """A test of what lies beyond a gap, with ends within it: all rows reach somewhat farther than a sample of them."""
    if isinstance(test, OutsideRange) and test.detector in ("beyond_gap", "far_times"):
        return test.widened(_WITHIN_GAP)
    return test


def _as_rough(rule: CellTest, sample: Block) -> CellTest:
    """A rule as it is; what is alone in a series lies farther off where all rows of a batch lie farther apart."""
    if isinstance(rule, Alone) and rule.applies(sample):
        return rule.as_rough_as(sample.columns[rule.column])
    return rule


def _widened(rule: CellTest, ordering: Ordering) -> CellTest:
    """A rule as it is; the ends of a column that is ordered, which wanders, lie farther, and more so of a series."""
    if not isinstance(rule, OutsideRange):
        return rule
    r = ordering.values.get(rule.column, 0.0)
    if rule.is_far:
        return rule.widened() if r >= _SERIES else rule
    wider = rule.widened(_WANDERING_ENDS) if r > 0 else rule
    trend = ordering.trends.get(rule.column, 0.0)
    return replace(wider, low=wider.low + min(trend, 0.0), high=wider.high + max(trend, 0.0))


def keys_to_count(sample: Block, past: Past, asked: Asked) -> list[tuple[str, ...]]:
    """The keys whose repeats are counted: the declared one, and single columns that may be one."""
    found = [asked.key] if asked.key and all(name in sample.columns for name in asked.key) else []
    for name, cells in sample.columns.items():
        before = [p.repeats.get(rule_id("key", (name,))) for p in past.profiles]
        was_key = bool(before) and all(count == 0 for count in before)
        is_unique = cells.filled == sample.rows and len(cells.uniques) == cells.filled
        is_key = not before and (is_unique or counts_on(cells))
        # Measures differ by chance, and so do instants; what may be a key has a name for each row, or a day.
        step = _WHOLE.get(cells.form.kind)
        is_measure = step is not None and bool(np.any(cells.of_unique % step != 0))
        if (was_key or is_key) and not is_measure and (name,) not in found:
            found.append((name,))
    return found


def counts_on(cells: Cells) -> bool:
    """Whether a column counts its rows: whole numbers of one stretch, of which nearly each stands there once.

    Names may count as well, by the number that they end with.
    """
    if cells.form.kind == "time":
        return False
    counted = cells.of_unique if cells.form.kind == "number" else _last_numbers(cells.uniques)
    if np.isnan(counted).sum() > (1 - _COUNTED) * len(counted):
        return False
    numbers = np.unique(counted[~np.isnan(counted)])
    if len(numbers) < max(_LEAST_COUNTED, _COUNTED_ON * cells.filled) or bool(np.any(numbers != np.round(numbers))):
        return False
    is_stretch = len(numbers) >= max(_COUNTED * cells.filled, _COUNTED * (numbers[-1] - numbers[0] + 1))
    steps = np.abs(np.diff(counted[cells.codes[~cells.missing]]))
    # Pairs that stand together are two rows of one.
    is_going_on = (steps == 1).mean() >= _STEPS_ON and (steps == 0).sum() <= _STRAY * (steps == 1).sum()
    return bool(is_stretch or is_going_on)


def _last_numbers(values: Sequence[str]) -> Floats:
    """The number that each value ends with, behind something else; NaN where it ends otherwise."""
    found = pc.extract_regex(pa.array(values, pa.string()), r"\D(?P<number>\d{1,15})$")
    return np.array([np.nan if each is None else float(each["number"]) for each in found.to_pylist()], float)


def count(blocks: Iterable[Block], made: Plan, clock: str | None = None) -> Tally:
    """The tests of a plan on all blocks of a batch."""
    tally = Tally(made.tests, made.ordering, most_examples=MOST_EXAMPLES if made.keeps_examples else 0)
    for block in blocks:
        tally.add(block, clock)
    return tally


def verdict(rows: Rows, sample: Block, tally: Tally, made: Plan, past: Past, asked: Asked) -> Verdict:
    """The verdict on a batch that was counted."""
    first, last = _times(sample, asked.time_column)
    profiles = list(past.profiles)
    of_columns = schema_findings(rows.columns, sample, profiles, past.blocks)
    whole: list[Finding | None] = [
        *of_columns,
        *absent_findings(sample, rows.columns, asked.key, asked.time_column, of_columns),
        volume_finding(rows.rows, past.counted or profiles, weekday_of(first) if first is not None else None),
        freshness_finding(last, past.last_times, asked.cadence_hours),
        *distribution_findings(sample, past.blocks, made.ordering, made.is_new_group, rows.rows),
        *spike_findings(made.spikes, sample.rows, past.blocks, made.ordering, made.keeps_examples, rows.rows),
    ]
    told = [f for f in whole if f is not None and not asked.is_quiet(f.rule_id)]
    # A past says itself which columns name rows; of a sample of many rows, a stretch is not seen.
    may_count = not profiles and sample.rows == rows.rows
    singles = (key for key in rows.repeats if len(key) == 1) if may_count else ()
    asks_chance = not profiles or made.ordering.is_wandering
    counted = Counted(
        rows.rows, rows.columns, tally, rows.copied_rows, rows.repeats, asked.key, asked.muted, made.is_new_group,
        # Where rows come in groups, those of the next may be more alike than rows were so far.
        copies_by_chance(sample, rows.rows) if rows.copied_rows and asks_chance else 0.0,
        rows.refused_rows,
        frozenset(key for key in singles if counts_on(sample.columns[key[0]])),
        rows.refused_lines,
        _before(tally, past.blocks),
    )  # fmt: skip
    return judge(counted, made.rules, profiles, told)


def _before(tally: Tally, blocks: Sequence[Block]) -> dict[int, list[tuple[int, int]]]:
    """How past batches do on the tests that a batch breaks, by their places: cells that break each, and all cells.

    Of batches most of which break it, or that lie elsewhere as the column goes on, a test says nothing.
    """
    found = {}
    for place, test in enumerate(tally.tests):
        is_range = isinstance(test, OutsideRange) and not test.is_of_sign
        if not tally.broken[place] or (is_range and test.column in tally.ordering.values):
            continue
        asked = [block for block in blocks if test.applies(block)]
        counts = [(int(test.broken(block).sum()), block.columns[test.column].filled) for block in asked]
        found[place] = [(broken, of) for broken, of in counts if broken <= _MOSTLY * of]
    return found


def profile(batch: str, rows: Rows, sample: Block, tally: Tally, made: Plan, given: Verdict, asked: Asked) -> Profile:
    """What is kept of a batch that was judged."""
    first, last = _times(sample, asked.time_column)
    tested = {}
    for place, test in enumerate(tally.tests):
        if tally.broken[place] or test.rule_id in made.rules.records:
            tested[test.rule_id] = (tally.broken[place], tally.filled[test.column])
    n = max(rows.rows, 1)
    return Profile(
        batch=batch,
        rows=rows.rows,
        columns=rows.columns,
        forms={name: cells.form for name, cells in sample.columns.items()},
        missing={name: tally.missing[name] / n for name in rows.columns},
        copied_share=rows.copied_rows / n,
        refused_share=rows.refused_share,
        tested=tested,
        spikes={name: share for name, (_, share, _) in made.spikes.items()},
        repeats={rule_id("key", key): repeats for key, repeats in rows.repeats.items()},
        summary=summary(sample, tally, asked.keeps_examples),
        first_time=first,
        last_time=last,
        is_normal=not given.alerts,
        alerts=tuple(finding.rule_id for finding in given.alerts),
        score=given.score,
    )


def _times(sample: Block, column: str | None) -> tuple[float | None, float | None]:
    """The first and the last instant of a column of times, in seconds since 1970."""
    cells = sample.columns.get(column or "")
    return (cells is not None and times_span(cells)) or (None, None)


def clock_of(sample: Block, asked: Asked) -> str | None:
    """The column of times by which breaches are dated: the declared one, else the only one."""
    declared = sample.columns.get(asked.time_column or "")
    if declared is not None and declared.form.kind != "text":
        return asked.time_column
    times = [name for name, cells in sample.columns.items() if cells.form.has_date]
    return times[0] if len(times) == 1 else None


def summary(sample: Block, tally: Tally, keeps_examples: bool = True) -> dict[str, dict[str, object]]:
    """Each column in a few numbers, for people: kind, missing, distinct in the sample, and where values may be shown
    its range and most frequent ones.
    """
    told: dict[str, dict[str, object]] = {}
    for name, cells in sample.columns.items():
        about: dict[str, object] = {
            "kind": cells.form.kind,
            "missing": tally.missing[name],
            "distinct": len(cells.uniques),
        }
        told[name] = about
        if not keeps_examples:
            continue
        if cells.form.kind != "text" and not np.isnan(cells.numbers).all():
            quantiles = np.nanquantile(cells.numbers, (0, 0.25, 0.5, 0.75, 1)).tolist()
            about["quantiles"] = [round(value, 6) for value in quantiles]
        order = np.argsort(-cells.counts, kind="stable")[:5]
        about["top"] = [[cells.uniques[i][:60], int(cells.counts[i])] for i in order]
    return told
