"""Numbers that follow from others: products, sums and differences, and ratios that keep within a band."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, permutations

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import Identity, Ratio, agrees, ratio_of
from quality_assets.domain.quality.datasets.dependencies import first_rows
from quality_assets.domain.quality.datasets.tails import margin
from quality_assets.domain.quality.datasets.values import Block

_MOST_COLUMNS = 14
_MOST_ROWS = 5_000
_LEAST_ROWS = 30
# An identity that holds for fewer is a coincidence; one that holds for half is shown, and doubts no cell.
_LEAST_SHOWN, LEAST_DOUBTING = 0.4, 0.9
# Where fewer keep it, and most that break it lie so many times as far, or by ever other amounts and shares, these are
# errors: a discount, a fee, or hours told as hundreds are one of a few, and what is off by as much is rounded.
_LEAST_IF_ERRORS, _WILD_TIMES, _HABITS, _MOST_OF_HABITS, _ROUNDED = 0.6, 3.0, 3, 0.5, 0.02
# With such numbers an identity says nothing.
_TRIVIAL = {"*": (0.0, 1.0), "+": (0.0,)}
# So many rows are looked at first, and of so few that tell nothing follows.
_FEW_ROWS, _LEAST_FEW = 200, 20
_BAND_CORE = 0.8
# A ratio keeps to a band where its scatter is so much of that of the column, and of a ratio to one column less.
_NARROWER = 0.6
_CLIFF_TIMES, _WIDE_GAP = 3, 30
_LEAST_SIZES, _LEAST_SPREAD = 20, 1.25
# So many rows tell which ratios keep to a band, and of a past of so many columns; the ends are of all rows, and lie so
# many times as far apart as eight in ten of them at most.
_TRIED_ROWS, _MOST_OF_RATIOS, _LEAST_BAND, _MOST_TAILS = 500, 10, 0.01, 3.0


def numbers_of_block(block: Block, most: int = _MOST_COLUMNS) -> dict[str, Floats]:
    """The columns of numbers that take more than a few values."""
    found = {}
    for name, cells in block.columns.items():
        if cells.form.kind == "number" and len(np.unique(cells.numbers[~np.isnan(cells.numbers)])) > 2:
            found[name] = cells.numbers
    return dict(list(found.items())[:most])


def identities_within(block: Block, least: float = _LEAST_SHOWN) -> Iterator[Identity]:
    """The identities that at least `least` of the rows keep; those of a sum are not told again as differences."""
    numbers = numbers_of_block(first_rows(block, _MOST_ROWS))
    for one, other, result, operation in _likely(numbers):
        share = _holding(numbers[one], numbers[other], numbers[result], operation)
        if share is not None and share >= least:
            is_kept = share >= LEAST_DOUBTING or (
                share >= _LEAST_IF_ERRORS and _is_by_errors(numbers[one], numbers[other], numbers[result], operation)
            )
            weight = weights.IDENTITY if is_kept else 0.0
            yield Identity("identity", f"identity{operation}", (one, other, result), weight, operation)


def _likely(numbers: Mapping[str, Floats]) -> list[tuple[str, str, str, str]]:
    """Two columns, a result and an operation that some rows keep, or too few rows can tell, in the order of results."""
    if len(numbers) < 3:
        return []
    names = list(numbers)
    step = max(1, len(numbers[names[0]]) // _FEW_ROWS)
    few = np.column_stack([values[::step] for values in numbers.values()])
    found = []
    for i, j in combinations(range(len(names)), 2):
        for operation, trivial in _TRIVIAL.items():
            one, other = few[:, i], few[:, j]
            with np.errstate(invalid="ignore", over="ignore"):
                told = ~np.isin(one, trivial) & ~np.isin(other, trivial) & ~np.isnan(one + other)
            rows = few[told]
            held = agrees(one[told, None], other[told, None], rows, operation).sum(axis=0)
            telling = (~np.isnan(rows)).sum(axis=0)
            likely = np.flatnonzero((telling < _LEAST_FEW) | (held >= _LEAST_SHOWN / 2 * telling)).tolist()
            found += [(k, i, j, operation) for k in likely if k not in (i, j)]
    return [(names[i], names[j], names[k], operation) for k, i, j, operation in sorted(found, key=lambda f: f[:3])]


def _holding(a: Floats, b: Floats, result: Floats, operation: str) -> float | None:
    """The share of rows that keep an identity, among those where it says something; None for too few."""
    trivial = _TRIVIAL[operation]
    telling = ~np.isnan(a + b + result) & ~np.isin(a, trivial) & ~np.isin(b, trivial)
    if telling.sum() < _LEAST_ROWS:
        return None
    return float(agrees(a[telling], b[telling], result[telling], operation).mean())


def _is_by_errors(a: Floats, b: Floats, result: Floats, operation: str) -> bool:
    """Whether most of what breaks an identity is nowhere near what it should be, or off by no habit."""
    broken = ~np.isnan(a + b + result) & ~agrees(a, b, result, operation)
    if not broken.any():
        return False
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        right = (a * b if operation == "*" else a + b)[broken]
        off, times = result[broken] - right, result[broken] / right
    is_near = (times >= 1 / _WILD_TIMES) & (times <= _WILD_TIMES)
    if is_near.mean() < 1 / 2:
        return True
    most = max(_share_of_few(np.round(off, 2)), _share_of_few(np.round(times, 3)))
    return bool(np.median(np.abs(off)) > _ROUNDED and most <= _MOST_OF_HABITS)


def _share_of_few(values: Floats) -> float:
    """How much of some numbers the most frequent few of them are."""
    counts = np.sort(np.unique(values, return_counts=True)[1])
    return float(counts[-_HABITS:].sum() / len(values))


def ratios_within(block: Block) -> Iterator[Ratio]:
    """Bands that the ratio of a number to one or two others keeps to, but for some rows far from it.

    Of two below, each must narrow the band: else it is the other's.
    """
    head = first_rows(block, _MOST_ROWS)
    numbers = {name: values for name, values in numbers_of_block(head).items() if _is_measure(values)}
    few = {name: _positive_logs(values[:: _step(head)]) for name, values in numbers.items()}
    width: dict[tuple[str, ...], float] = {(name,): _width(_known(logs)) for name, logs in few.items()}
    width |= {(a, b): _width(_known(few[b] - few[a])) for a, b in permutations(few, 2)}
    groups: list[tuple[str, ...]] = [*combinations(few, 2)]
    groups += [(a, b, y) for y in few for a, b in combinations([n for n in few if n != y], 2)]
    for columns in groups:
        *below, result = columns
        narrower = [width[(result,)], *(width[name, result] for name in below if len(below) > 1)]
        own = width.get(columns) or _width(_known(few[result] - np.sum([few[name] for name in below], axis=0)))
        if own < _NARROWER * min(narrower) and (band := _band_of(_logs(head, columns))):
            yield Ratio("ratio", "ratio", columns, 0.0, float(np.exp(band[0])), float(np.exp(band[1])))


def _step(block: Block) -> int:
    """Each how many rows tell which ratios keep to a band."""
    return max(1, block.rows // _TRIED_ROWS)


def ratios_kept(block: Block) -> Iterator[Ratio]:
    """The band that each number's ratio to one or two others has kept to, where some ratio keeps to one: the narrowest.

    One that is hardly a band is an identity, and is told as such; of what thins out far beyond a band there is none.
    """
    step = _step(block)
    numbers = {name: values for name, values in numbers_of_block(block).items() if _is_measure(values[::step])}
    names = list(numbers)[:_MOST_OF_RATIOS]
    few = {name: _positive_logs(numbers[name][::step]) for name in names}
    alone = {name: _width(_known(few[name])) for name in names}
    beside = {(a, b): _width(_known(few[b] - few[a])) for a, b in permutations(names, 2)}
    for result in names:
        others = [name for name in names if name != result]
        found: dict[tuple[str, ...], float] = {
            (a,): beside[a, result] for a in others if beside[a, result] < _NARROWER * alone[result]
        }
        for pair in combinations(others, 2):
            width = _width(_known(few[result] - few[pair[0]] - few[pair[1]]))
            if width < _NARROWER * min(alone[result], *(beside[each, result] for each in pair)):
                found[pair] = width
        if found and found[below := min(found, key=lambda each: found[each])] >= _LEAST_BAND:
            logs = np.sort(_logs(block, (*below, result)))
            low, high = logs[0] - margin(logs), logs[-1] + margin(-logs[::-1])
            if logs[-1] - logs[0] <= _MOST_TAILS * found[below]:
                ends = float(np.exp(low)), float(np.exp(high))
                yield Ratio("ratio", "past_ratio", (*below, result), weights.PAST_RATIO, *ends)


def _positive_logs(values: Floats) -> Floats:
    return np.log(np.where(values > 0, values, np.nan))


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]


def _is_measure(values: Floats) -> bool:
    """Whether a column of numbers is of amounts: above zero, of many sizes, with the largest well above the least."""
    known = values[~np.isnan(values)]
    if (known <= 0).any() or len(np.unique(known)) < _LEAST_SIZES:
        return False
    low, high = np.quantile(known, (0.05, 0.95))
    return bool(high > _LEAST_SPREAD * low)


def _logs(block: Block, columns: tuple[str, ...]) -> Floats:
    logs = np.log(ratio_of(block, columns))
    return logs[~np.isnan(logs)]


def _width(logs: Floats) -> float:
    """The distance between the tenth and the ninetieth of a hundred."""
    return float(np.subtract(*np.quantile(logs, (0.9, 0.1)))) if len(logs) >= _LEAST_ROWS else 0.0


def _band_of(logs: Floats) -> tuple[float, float] | None:
    """The band where most of some logarithms lie dense, with few beyond it; None where there is none."""
    known = np.sort(logs)
    n = len(known)
    if n < _LEAST_ROWS:
        return None
    size = int(np.ceil(_BAND_CORE * n))
    widths = known[size - 1 :] - known[: n - size + 1]
    start = int(np.argmin(widths))
    low, high = float(known[start]), float(known[start + size - 1])
    return None if high - low <= 1e-9 else _grown(known, low, high)


def _grown(known: Floats, low: float, high: float) -> tuple[float, float] | None:
    """A band grown for as long as values lie as dense beyond its ends as a quarter of those within."""
    step = (high - low) / 20
    inner = int(np.searchsorted(known, high, "right")) - int(np.searchsorted(known, low, "left"))
    least = inner / 20 / 4
    while np.searchsorted(known, high + step, "right") - np.searchsorted(known, high, "right") >= max(least, 1):
        high += step
    while np.searchsorted(known, low, "left") - np.searchsorted(known, low - step, "left") >= max(least, 1):
        low -= step
    if not (_is_cliff(known, high, step) or _is_cliff(-known[::-1], -low, step)):
        return None
    usual_gap = (high - low) / max(inner, 1)
    high = _before_gap(known, high, step, usual_gap)
    low = -_before_gap(-known[::-1], -low, step, usual_gap)
    outside = int(np.sum((known < low) | (known > high)))
    return (low, high) if 0 < outside <= 0.2 * len(known) else None


def _is_cliff(ascending: Floats, end: float, step: float) -> bool:
    """Whether values lie several times as dense just before the upper end of a band as just beyond it."""
    before, at, behind = (int(np.searchsorted(ascending, end + by, "right")) for by in (-2 * step, 0.0, 2 * step))
    return at - before >= _CLIFF_TIMES * max(behind - at, 1)


def _before_gap(ascending: Floats, end: float, step: float, usual_gap: float) -> float:
    """The last value up to a step beyond the end of a band that no gap parts from it."""
    near = ascending[(ascending >= end - step) & (ascending <= end + step)]
    wide = np.flatnonzero((np.diff(near) > _WIDE_GAP * usual_gap) & (near[:-1] >= end - step / 4))
    return float(near[wide[0]] if len(wide) else near[-1]) if len(near) else end
