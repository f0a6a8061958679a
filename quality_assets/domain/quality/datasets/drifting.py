"""What a batch is as a whole beside those before it: its columns, its rows, its time, how its values are spread."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import log

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.ordering import Ordering
from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.table_findings import Finding
from quality_assets.domain.quality.datasets.tails import binomial_tail
from quality_assets.domain.quality.datasets.values import Block, Cells
from quality_assets.domain.wording import measure_text

_LEAST_LIKENESS = 0.5
_MOST_COMPARED = 5
# Rows beside the usual: a change of a third, far beyond the scatter of past batches.
_VOLUME_CHANGE, _VOLUME_SCATTER, _VOLUME_SIGMAS = 0.43, 0.08, 4.0
# Of batches that go over a week and were alike, a lesser change that chance makes once or twice in ten thousand times.
_ALIKE_BATCHES, _ALIKE_SCATTER, _ALIKE_Z = 8, 0.02, 3.89
_LATE_TIMES, _MOST_GAPS, _LEAST_GAPS = 1.5, 20, 3
# Of arrivals: what comes within five minutes is one delivery; what was dropped a few times by hand has no cadence.
_ONE_DELIVERY_H, _LEAST_ARRIVAL_GAPS, _LEAST_WAIT_H = 1 / 12, 5, 1.0
# A change of the spread of values: so far, and so many times the largest that past batches show among each other.
_LEAST_MOVED, _MOVED_TIMES, _LEAST_COMPARED_ROWS = 0.15, 2.0, 50
# The distance by chance of two samples, in units of √(2/n), that one in hundred thousand exceeds (Kolmogorov).
_CHANCE_DISTANCE = 2.5
_STRETCHES = 4
# Changes of unit: tens, seconds and minutes, hours and days, inches, feet, miles, pounds; and of sign.
_UNITS = (10.0, 100.0, 1000.0, 1e6, 60.0, 3600.0, 24.0, 2.54, 3.2808, 1.6093, 2.2046)
_FACTORS = (-1.0, *_UNITS, *(1 / unit for unit in _UNITS))
_LARGE_FACTORS = tuple(factor for factor in _FACTORS if not 1 / 9 < factor < 9)
_REBASED, _PARTED, _LIKE, _LEAST_SIZES = 0.5, 0.8, 0.15, 20
_MOST_CATEGORIES = 200
_SPIKE_SHARE, _SPIKE_TIMES, _SPIKE_VALUES, _SPIKE_NEIGHBOURS = 0.02, 3.0, 20, 5


def schema_findings(
    columns: Sequence[str], block: Block, past: Sequence[Profile], blocks: Sequence[Block]
) -> list[Finding]:
    """Columns that are lost, new or renamed since the last batches."""
    if not past:
        return []
    before = past[-1].columns
    lost = [name for name in before if name not in columns and all(name in p.columns for p in past[-3:])]
    new = [name for name in columns if name not in before]
    renames = _renames(lost, new, block, blocks)
    found = [
        Finding(
            "rename",
            (old, now),
            1,
            1 / len(before),
            f"Column {old} is written {now} now"
            if _spelt(old) == _spelt(now)
            else f"Column {old} is gone, and {now} holds what it held: renamed, it seems",
            severity="high",
            is_alert=True,
            p_value=0.0,
        )
        for old, now in renames.items()
    ]
    for name in lost:
        if name not in renames:
            sentence = f"Column {name}, which past batches had, is gone"
            found.append(
                Finding(
                    "schema",
                    (name,),
                    1,
                    1 / len(before),
                    sentence,
                    "lost_column",
                    severity="high",
                    is_alert=True,
                    p_value=0.0,
                )
            )
    for name in new:
        if name not in renames.values():
            sentence = f"Column {name} is new"
            found.append(Finding("schema", (name,), 1, 1 / len(columns), sentence, "new_column", severity="low"))
    return found


def absent_findings(
    block: Block, columns: Sequence[str], key: Sequence[str], time_column: str | None, told: Sequence[Finding]
) -> Iterator[Finding]:
    """The columns that a dataset is said to have and a batch lacks: what hangs on them is not asked.

    `told` are the findings on its columns; what is lost or renamed is told already.
    """
    cells = block.columns.get(time_column or "")
    if time_column and cells is not None and cells.filled and np.isnan(cells.instants).all():
        sentence = f"Column {time_column} is named as the dataset's column of times, and holds none that can be read"
        yield Finding("type", (time_column,), cells.filled, 1.0, sentence, "no_times", severity="low")
    named = {column for finding in told for column in finding.columns}
    for name, use in [*((each, "key") for each in key), *([(time_column, "column of times")] if time_column else [])]:
        if name not in columns and name not in named:
            sentence = f"There is no column {name}, which is named as the dataset's {use}: it is not asked by it"
            yield Finding("schema", (name,), 1, 1.0, sentence, "absent_column", severity="high", is_alert=True)


def _renames(lost: Sequence[str], new: Sequence[str], block: Block, blocks: Sequence[Block]) -> dict[str, str]:
    """Which lost column goes on under which new name: the same name written otherwise, then pairs by what they hold,
    the likest first; each name once. What a column of ids or of days holds is never what it held.
    """
    spelt = Counter(map(_spelt, (*lost, *new)))
    names = {_spelt(now): now for now in new}
    found = {old: names[_spelt(old)] for old in lost if _spelt(old) in names and spelt[_spelt(old)] == 2}
    pairs = []
    for old in lost:
        held = [b.columns[old] for b in blocks[-3:] if old in b.columns]
        for now in new:
            if held and now in block.columns:
                likeness = max(_likeness(cells, block.columns[now]) for cells in held)
                pairs.append((likeness, old, now))
    for likeness, old, now in sorted(pairs, reverse=True):
        if likeness >= _LEAST_LIKENESS and old not in found and now not in found.values():
            found[old] = now
    return found


def _spelt(name: str) -> str:
    """A name without what people and programs write otherwise: capitals, blanks, underscores, hyphens, points."""
    return re.sub(r"[\s_.-]+", "", name).casefold() or name


def _likeness(one: Cells, other: Cells) -> float:
    """How alike what two columns hold is, from 0 to 1: how numbers are spread, else which values and forms."""
    if one.form.kind != other.form.kind or not one.filled or not other.filled:
        return 0.0
    if one.form.kind != "text":
        a, b = _known(one.numbers), _known(other.numbers)
        return 1 - _distance(a, b) if len(a) and len(b) else 0.0
    values = _overlap(
        Counter(dict(zip(one.uniques, one.counts.tolist(), strict=True))),
        Counter(dict(zip(other.uniques, other.counts.tolist(), strict=True))),
    )
    return max(values, 0.9 * _overlap(_tally(one), _tally(other)))


def _tally(cells: Cells) -> Counter[str]:
    tally: Counter[str] = Counter()
    for shape, count in zip(cells.shapes, cells.counts.tolist(), strict=True):
        tally[shape] += count
    return tally


def _overlap(one: Counter[str], other: Counter[str]) -> float:
    """One less the total variation distance of two tallies."""
    a, b = sum(one.values()), sum(other.values())
    return sum(min(one[key] / a, other[key] / b) for key in one.keys() & other.keys()) if a and b else 0.0


def _known(numbers: Floats) -> Floats:
    return numbers[~np.isnan(numbers)]


def _distance(one: Floats, other: Floats) -> float:
    """The largest distance of two empirical distribution functions (Kolmogorov and Smirnov)."""
    one, other = np.sort(one), np.sort(other)
    every = np.concatenate([one, other])
    left, right = np.searchsorted(one, every, "right") / len(one), np.searchsorted(other, every, "right") / len(other)
    return float(np.abs(left - right).max())


def volume_finding(rows: int, past: Sequence[Profile], weekday: int | None = None) -> Finding | None:
    """Many more or fewer rows than batches have; beside those of the same weekday where there are three of them."""
    by_weekday: dict[int | None, list[float]] = defaultdict(list)
    for each in past:
        day = weekday_of(each.first_time) if weekday is not None and each.first_time is not None else None
        by_weekday[day].append(log(max(each.rows, 1)))
    alike = by_weekday[weekday] if weekday is not None else []
    logs = np.array(alike if len(alike) >= 3 else [value for values in by_weekday.values() for value in values])
    if len(logs) < 3:
        return None
    middle = float(np.median(logs))
    scatter = max(_VOLUME_SCATTER, float(1.4826 * np.median(np.abs(logs - middle))), float(np.std(logs)))
    if len(alike) >= 3:
        # Three of a weekday may lie close by chance: the others say how far theirs lie apart.
        scatter = max(scatter, _scatter_within(by_weekday.values()))
    change = float(np.log(max(rows, 1)) - middle)
    is_far = abs(change) >= max(_VOLUME_CHANGE, _VOLUME_SIGMAS * scatter)
    if not is_far and abs(change) < _most_by_chance(logs):
        return None
    usual = round(float(np.exp(middle)))
    sentence = f"It has {rows:,} rows; {usual:,} are usual"
    return Finding(
        "volume",
        (),
        abs(rows - usual),
        rows / max(usual, 1),
        sentence,
        severity="high" if is_far and rows < usual else "medium",
        is_alert=True,
        p_value=0.0,
    )


def _scatter_within(groups: Iterable[Sequence[float]]) -> float:
    """The standard deviation within groups, pooled over all of them."""
    many = [group for group in groups if len(group) > 1]
    free = sum(len(group) - 1 for group in many)
    return float(np.sqrt(sum(np.var(group) * len(group) for group in many) / free)) if free else 0.0


def _most_by_chance(logs: Floats) -> float:
    """How far the next of values that scatter as these do falls from them by chance; of too few infinity.

    By Student's t, expanded about the normal distribution (Abramowitz and Stegun, 26.7.5).
    """
    n, z = len(logs), _ALIKE_Z
    if n < _ALIKE_BATCHES:
        return np.inf
    free = n - 1
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return t * max(_ALIKE_SCATTER, float(np.std(logs, ddof=1))) * float(np.sqrt(1 + 1 / n))


def weekday_of(seconds: float) -> int:
    """The weekday of an instant, Monday 0."""
    return datetime.fromtimestamp(seconds, UTC).weekday()


def freshness_finding(
    last_time: float | None, times: Sequence[float], cadence_hours: float | None = None
) -> Finding | None:
    """A gap before this batch longer than those between all of the last ones, or than its cadence.

    `times` are when those ended, in seconds since 1970.
    """
    if last_time is None or not len(times):
        return None
    gap = (last_time - times[-1]) / 3600
    gaps = np.diff(times)[-_MOST_GAPS:] / 3600
    if cadence_hours is not None:
        limit, why = _LATE_TIMES * cadence_hours, f"every {cadence_hours:g} hours one is due"
    elif len(gaps) >= _LEAST_GAPS:
        limit, why = _LATE_TIMES * float(gaps.max()), f"{gaps.max():,.0f} hours were the most so far"
    else:
        return None
    if gap <= limit or limit <= 0:
        return None
    sentence = f"It ends {gap:,.0f} hours after the batch before it; {why}"
    return Finding("freshness", (), round(gap), gap / limit, sentence, severity="medium", is_alert=True, p_value=0.0)


def overdue(arrivals: Sequence[float], waited_s: float, cadence_hours: float | None = None) -> tuple[float, str] | None:
    """Whether a batch should have come by now: how many hours it may take, and why; None where it is not overdue.

    `arrivals` are when batches came, in seconds since whenever, oldest first.
    """
    if cadence_hours is not None:
        limit, why = _LATE_TIMES * cadence_hours, f"every {cadence_hours:g} hours one is due"
    else:
        gaps = np.diff(np.asarray(arrivals)) / 3600
        gaps = gaps[gaps > _ONE_DELIVERY_H][-_MOST_GAPS:]
        if len(gaps) < _LEAST_ARRIVAL_GAPS:
            return None
        limit = max(_LEAST_WAIT_H, _LATE_TIMES * float(gaps.max()))
        why = f"{gaps.max():,.1f} hours were the most so far"
    return (limit, why) if waited_s / 3600 > limit else None


def distribution_findings(
    block: Block, blocks: Sequence[Block], ordering: Ordering, is_new_group: bool = False, every: int | None = None
) -> Iterator[Finding]:
    """Columns whose values are spread otherwise than in past batches, and than those are beside each other.

    The block may be a sample of `every` rows: so many of them are estimated to have moved.

    Rows of a group that no batch had before are spread as that group is, and are no alert.
    """
    recent = blocks[-_MOST_COMPARED:]
    if len(recent) < 3 or block.rows < _LEAST_COMPARED_ROWS:
        return
    found, is_other_group = {}, False
    for name, cells in block.columns.items():
        parts = [b.columns[name] for b in recent if name in b.columns]
        shift = _shift(cells, parts) if len(parts) == len(recent) else None
        if shift is None:
            continue
        moved = _moved(cells, parts, shift, ordering.independent_share(name))
        if moved:
            found[name] = moved
        is_rebased = moved is not None and moved[2] is not None
        is_other_group |= name in ordering.values and not is_rebased

    def explained(name: str) -> bool:
        """Whether its rows are ordered, or those of a group are others than before, or it goes on as it went."""
        is_stuck = len(block.columns[name].uniques) == 1 and name not in ordering.few
        return not is_stuck and (is_other_group or name in ordering.values or name in ordering.trends)

    for name, (distance, usual, factor) in found.items():
        cells = block.columns[name]
        as_if = f", as if multiplied by {factor:g}" if factor else ""
        sentence = f"Values of {name} have moved by {distance:.2f}{as_if}; {usual:.2f} was the most so far"
        of_all = (every or block.rows) / block.rows
        count, is_alert = round(distance * cells.filled * of_all), bool(factor) or not (is_new_group or explained(name))
        p_value = 0.0 if is_alert else None
        yield Finding(
            "distribution", (name,), count, distance, sentence, "", weights.PAST_SPREAD, usual,
            is_alert=is_alert, p_value=p_value,
        )  # fmt: skip


def _shift(cells: Cells, parts: Sequence[Cells]) -> tuple[float, float] | None:
    """How far a column has moved and the most that it did before, where it is much farther."""
    spreads = [_spread(each) for each in (*parts, cells)]
    if any(spread is None for spread in spreads):
        return None
    *before, now = spreads
    # Each beside those before it, as this one is: where values wander on, that is usual.
    usual = max(_apart(before[i], before[:i]) for i in range(1, len(before)))
    distance = _apart(now, before)
    return (distance, usual) if distance > max(_LEAST_MOVED, _MOVED_TIMES * usual) else None


def _moved(
    cells: Cells, parts: Sequence[Cells], shift: tuple[float, float], independent: float
) -> tuple[float, float, float | None] | None:
    """A shift that is none by chance, and by which factor the column is as if multiplied."""
    distance, usual = shift
    if cells.form.kind == "number" and distance > _REBASED:
        factor = _factor(_known(cells.numbers), np.concatenate([_known(each.numbers) for each in parts]))
        if factor:
            return distance, usual, factor
    fewest = min(cells.filled, *(each.filled for each in parts))
    # Neighbours that are alike make fewer rows of many.
    if distance <= _CHANCE_DISTANCE * np.sqrt(2 / (fewest * independent)) or distance <= _within(parts):
        return None
    return distance, usual, None


def _within(parts: Sequence[Cells]) -> float:
    """How far the stretches of some batches lie from all before them: so far a whole batch may wander as well."""
    stretches = []
    for cells in parts:
        for rows in np.array_split(np.arange(cells.rows), _STRETCHES):
            part = Cells(cells.form, cells.codes[rows], cells.uniques, cells.of_unique, cells.has_text)
            stretches.append(_known(part.numbers) if cells.form.kind == "number" else _counted(part))
    return max(_apart(stretches[i], stretches[:i]) for i in range(_STRETCHES, len(stretches)))


def _factor(now: Floats, before: Floats) -> float | None:
    """By which change of unit, or of sign, numbers are spread as they were; None where by none."""
    if len(np.unique(before)) < _LEAST_SIZES:
        return None
    factors = _FACTORS if _distance(now, before) > _PARTED else _LARGE_FACTORS
    found = min(factors, key=lambda factor: _distance(now / factor, before))
    return found if _distance(now / found, before) <= _LIKE else None


def _spread(cells: Cells) -> Floats | Counter[str] | None:
    """The numbers of a column, or how often it holds each of its few texts; None for what cannot be compared."""
    if cells.form.kind == "time" or cells.filled < _LEAST_COMPARED_ROWS:
        return None
    if cells.form.kind == "number":
        return _known(cells.numbers)
    if len(cells.uniques) > _MOST_CATEGORIES:
        return None
    return _counted(cells)


def _counted(cells: Cells) -> Counter[str]:
    return Counter(dict(zip(cells.uniques, cells.counts.tolist(), strict=True)))


def _apart(one, others) -> float:  # type: ignore[no-untyped-def]
    """How far one spread lies from several others together; nothing lies nowhere, and is not apart."""
    if isinstance(one, Counter):
        tally: Counter[str] = sum(others, Counter())
        return 1 - _overlap(one, tally) if one and tally else 0.0
    every = np.concatenate(others)
    return _distance(one, every) if len(one) and len(every) else 0.0


def spikes(block: Block) -> dict[str, tuple[float, float, int]]:
    """By column of numbers: a value at an end that is far more frequent than those near it, its share and count."""
    found = {}
    for name, cells in block.columns.items():
        known = _known(cells.numbers) if cells.form.kind == "number" else np.empty(0)
        values, counts = np.unique(known, return_counts=True)
        if len(values) < _SPIKE_VALUES:
            continue
        for end, near in ((-1, counts[-1 - _SPIKE_NEIGHBOURS : -1]), (0, counts[1 : 1 + _SPIKE_NEIGHBOURS])):
            share = counts[end] / len(known)
            if share >= _SPIKE_SHARE and counts[end] >= _SPIKE_TIMES * near.max():
                found[name] = (float(values[end]), float(share), int(counts[end]))
                break
    return found


def spike_findings(
    now: Mapping[str, tuple[float, float, int]], rows: int, past: Sequence[Block], ordering: Ordering,
    keeps_examples: bool = True, every: int | None = None,
) -> Iterator[Finding]:  # fmt: skip
    """The spikes that past batches do not show as well, whether or not they stood at an end.

    They are those of so many rows, a sample of `every` where there are more, whose number is estimated then.
    """
    times = (every or rows) / max(rows, 1)
    for name, (value, share, count) in now.items():
        usual = max((_share_of(value, block.columns[name]) for block in past if name in block.columns), default=None)
        if usual is not None and share <= 1.5 * usual + _SPIKE_SHARE:
            continue
        # In an ordered column the end of a range comes in one stretch.
        is_told = usual is not None and name not in ordering.values
        p_value = None if usual is None or not is_told else binomial_tail(count, rows, max(usual, 2 * _SPIKE_SHARE))
        what = f"{value:g}, an end" if keeps_examples else "one and the same, an end"
        part = measure_text(share, "fraction")
        in_all = round(count * times)
        about = "About " if times > 1 else ""
        sentence = f"{about}{in_all:,} values of {name} ({part}) are {what} of its range: cut off there, or filled in"
        yield Finding(
            "spike", (name,), in_all, share, sentence, "", weights.PAST_SPIKE if past else 0.0, usual, p_value=p_value,
            examples=(f"{value:g}",) if keeps_examples else (),
        )  # fmt: skip


def _share_of(value: float, cells: Cells) -> float:
    """The share of the numbers of a column that are one value."""
    known = _known(cells.numbers)
    return float((known == value).mean()) if len(known) else 0.0
