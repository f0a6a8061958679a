"""From what was counted in a batch to its findings, its score and what a person must know.

score = 1 − (Σ over cells of doubt + excess missing cells + .9 × copied rows × columns + refused lines × columns
             + lines × lost columns) / (lines × columns), lines being rows and those refused, which are no rows
The doubt of a cell is the largest weight of what flags it, and a weight is how often such a flag is right: so 1 − score
estimates the share of wrong cells. What past batches show of the same kind in the same column is usual, and taken off;
what is left counts as far as it is none of the findings that so many questions bring where all is as before. Of a
column whose values are spread otherwise than ever before, it is not known which cells those are: so many are doubted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import ceil, sqrt

from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import WANDERING, CellTest, NotAmong
from quality_assets.domain.quality.datasets.detectors import LEAST_CELLS
from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.rules import Record, Rules
from quality_assets.domain.quality.datasets.table_findings import SCORED_DIMENSIONS, Finding, rule_id
from quality_assets.domain.quality.datasets.tails import scattered_tail
from quality_assets.domain.quality.datasets.tally import Tally
from quality_assets.domain.quality.score import share_left
from quality_assets.domain.wording import measure_texts, plural

LEAST_PAST_TO_ALERT = 3
# The chance of an alert on a batch in which all is as before, shared over all that is asked of it.
_FALSE_ALARM_SHARE = 0.01
_SHARE_THAT_COUNTS = {
    **dict.fromkeys(("dominant", "rare_value", "decimals", "word_typo", "characters"), weights.FEW_OUTLYING),
    **dict.fromkeys(("format", "exact_shape"), weights.FEW_FORMED),
    **dict.fromkeys(("beyond_gap", "far_times", "rare_sign", "odd_zero", "alone"), weights.FEW_PARTED),
}
# Of a group that was not there before, the past says so much.
_NEW_GROUP = 0.1
# Of a rule whose like gave way in past batches, without an error, it says so much.
_GIVING_WAY = 0.3
_HIGH_SHARE = 0.05
_REFUSED = "refused_rows"
_OF_SPREAD = ("distribution", "spike")
_OF_ONE = {"are": "is", "lie": "lies", "have": "has", "hold": "holds", "were": "was"}
_VERB = re.compile(rf"\b({'|'.join(_OF_ONE)})\b")
_OFTEN_MISSING = 0.05


@dataclass(frozen=True)
class Counted:
    """What was counted over all rows of a batch. `repeats` are rows beyond the first of each key, by its columns."""

    rows: int
    columns: tuple[str, ...]
    tally: Tally
    copied_rows: int = 0
    repeats: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    declared_key: tuple[str, ...] = ()
    muted: frozenset[str] = frozenset()
    is_new_group: bool = False
    """Whether most rows are of a group that the past does not know, so that it says little of them."""
    copies_by_chance: float = 0.0
    refused_rows: int = 0
    counting: frozenset[tuple[str, ...]] = frozenset()
    """Keys that count the rows, by what they show themselves where there is no past."""
    refused_lines: tuple[int, ...] = ()
    """Which lines the first of those refused are."""
    before: Mapping[int, Sequence[tuple[int, int]]] = field(default_factory=dict)
    """By the place of a test that this batch suggests: cells of each past batch that break it, and all its cells."""

    @property
    def lines(self) -> int:
        """Rows, and lines that are none."""
        return self.rows + self.refused_rows


@dataclass(frozen=True)
class Verdict:
    """A batch judged. `score` and `dimensions` are from 0 to 1, None where there was nothing to judge."""

    score: float | None
    dimensions: Mapping[str, float | None]
    findings: tuple[Finding, ...]

    @property
    def alerts(self) -> tuple[Finding, ...]:
        """What a person must know."""
        return tuple(finding for finding in self.findings if finding.is_alert)


def judge(counted: Counted, rules: Rules, past: Sequence[Profile], whole: Sequence[Finding]) -> Verdict:
    """A verdict; `whole` are the findings on the table as a whole, from `drifting`. `past` teaches what is usual.

    Of too few rows for any test of their cells, and none of which is missing or a copy, nothing is known: no score.
    """
    if not counted.rows or not counted.columns:
        beside = tuple(whole)
        return Verdict(None, dict.fromkeys(SCORED_DIMENSIONS), beside)
    asked = max(1, len(rules.alive) + 3 * len(counted.columns))
    cell_findings, weight_of = _cell_findings(counted, rules, past, asked)
    missing, missing_doubt = _missing(counted, past, asked)
    copies, copied_doubt = _copies(counted, past, asked)
    refused, refused_doubt = _refused(counted, past)
    whole = [_of_spread(finding, counted, asked) for finding in whole]
    spread = _by_column(finding for finding in whole if finding.kind in _OF_SPREAD)
    lost = [f for f in whole if f.detector == "lost_column" or f.kind == "rename"]
    cells = counted.lines * (len(counted.columns) + len(lost))
    schema_doubt = refused_doubt + counted.lines * len(lost)
    apart = {"completeness": missing_doubt, "uniqueness": copied_doubt, "schema": schema_doubt}
    doubt = _doubt_of_cells(counted.tally, weight_of, spread, bool(past)) + sum(apart.values())
    dimensions: dict[str, float | None] = {}
    for dimension in SCORED_DIMENSIONS:
        own = {p: w for p, w in weight_of.items() if _dimension(counted.tally.tests[p]) == dimension}
        of_spread = spread if dimension == "plausibility" else {}
        doubted = _doubt_of_cells(counted.tally, own, of_spread, bool(past)) + apart.get(dimension, 0.0)
        dimensions[dimension] = share_left(doubted, cells)
    found = [*whole, *missing, *copies, *refused, *cell_findings]
    told = [_with_alert(finding, [] if counted.is_new_group else past, asked) for finding in found]
    order = sorted(told, key=lambda f: (not f.is_alert, -f.doubt, -f.weight, f.rule_id))
    if not (counted.tally.tests or doubt or past) and counted.lines < LEAST_CELLS:
        return Verdict(None, dict.fromkeys(SCORED_DIMENSIONS), tuple(order))
    return Verdict(share_left(doubt, cells), dimensions, tuple(order))


def _of_spread(finding: Finding, counted: Counted, asked: int) -> Finding:
    """A finding on how the values of a column are spread, with its doubt: so many of its cells, beyond the usual share,
    hold what others held before. It is not known which.
    """
    if finding.kind not in _OF_SPREAD or finding.p_value is None or counted.is_new_group:
        return finding
    beyond = max(0.0, finding.share - (finding.expected_share or 0.0)) * counted.tally.filled[finding.columns[0]]
    return replace(finding, doubt=finding.weight * beyond * beyond_chance(finding.p_value, asked))


def _by_column(findings: Iterable[Finding]) -> dict[str, float]:
    """The largest doubt of findings on one column each."""
    largest: dict[str, float] = {}
    for finding in findings:
        (name,) = finding.columns
        largest[name] = max(largest.get(name, 0.0), finding.doubt)
    return largest


def _doubt_of_cells(tally: Tally, weight_of: Mapping[int, float], spread: Mapping[str, float], has_past: bool) -> float:
    """The doubt of all cells; without a past, what lies far out in several columns is a habit of the table.

    `spread` is how much of a column is doubted as a whole, where it is not known which of its cells.
    """
    if has_past:
        found = tally.doubt(weight_of)
        # Of those that are doubted for themselves as well, only what is left of them: more errors are never less doubt.
        return sum(found.values()) + sum(
            moved * (1 - min(1.0, found.get(name, 0.0) / tally.filled[name])) for name, moved in spread.items() if moved
        )

    def few(place: int, count: float) -> float:
        return weights.few(count, tally.rows, _few(tally.tests[place]))

    surely = {p: tally.tests[p].weight for p in weight_of if tally.tests[p].weight not in weights.FOR_THE_EYE}
    every = tally.layered_doubt(surely, few)
    plain = tally.layered_doubt({p: w for p, w in surely.items() if tally.tests[p].kind != "outlier"}, few)
    return sum(plain.values()) + weights.of_habits(max(0.0, every[name] - plain[name]) for name in every)


def _dimension(test: CellTest) -> str:
    return Finding(test.kind, test.columns, 0, 0.0, "").dimension


def excess(count: float, usual: float, largest: float) -> float:
    """How much of a count is beyond the usual; what is within its scatter counts for a trifle, and what is usual for
    a trifle of that.

    `usual` is the mean count that the past leads to expect, `largest` the largest.
    """
    upper = max(largest + 2 * sqrt(largest), usual)
    within, plain = min(count, upper), min(count, usual)
    return count - within + weights.WITHIN_USUAL * (within - plain) + weights.USUAL * plain


def _cell_findings(
    counted: Counted, rules: Rules, past: Sequence[Profile], asked: int
) -> tuple[list[Finding], dict[int, float]]:
    """The findings of tests of cells, and the weight of each test, by its place, less what is usual."""
    tally = counted.tally
    found, weight_of = [], {}
    for place, test in enumerate(tally.tests):
        count = tally.broken[place]
        if not count:
            continue
        cells, events = max(tally.filled[test.column], 1), tally.events[place]
        usual, largest, record = _usual(test, rules, past, cells, counted.before.get(place))
        weight = test.weight
        if past and test.rule_id not in rules.records:
            weight = weights.seen_beside(test.detector, weight) if len(past) >= 2 else weight
        # Where like rules gave way as far in past batches, this one may do so as well.
        is_surprise = not any(2 * share >= count / cells for share in rules.surprises.get(test.detector, ()))
        weight *= 1.0 if is_surprise else _GIVING_WAY
        beyond = excess(events, usual, largest) if past else weights.few(count, counted.rows, _few(test))
        if counted.is_new_group and test.kind in WANDERING:
            weight *= _NEW_GROUP
        # What an ordered column shows in stretches is rather its way on than an error.
        sure = weight * _GIVING_WAY if past and events < count else weight
        p_value = _tail_of_events(tally, test, count, events, record) if record else None
        sure *= beyond_chance(p_value, asked)
        weight_of[place] = sure * beyond / count
        if past and beyond < 1:
            continue
        found.append(
            Finding(
                test.kind, test.columns, count, count / cells, _sentence(test, place, count, tally), test.detector,
                weight, usual / cells if past else None, sure * beyond,
                p_value if is_surprise else None,
                examples=tuple(tally.examples[place][:5]),
            )
        )  # fmt: skip
    return _plainest(found), weight_of


def _few(test: CellTest) -> float:
    """Up to which share of the rows what a table shows of itself counts whole."""
    if test.detector in _SHARE_THAT_COUNTS:
        return _SHARE_THAT_COUNTS[test.detector]
    is_habit = test.kind == "outlier" or test.weight <= weights.WEAK_DEPENDENCY
    return weights.FEW_OUTLYING if is_habit else weights.FEW_ELSE


def _usual(
    test: CellTest,
    rules: Rules,
    past: Sequence[Profile],
    cells: int,
    before: Sequence[tuple[int, int]] | None,
) -> tuple[float, float, Record | None]:
    """How many cells the past leads to expect, at most, and the record that says so."""
    shown = _usual_of(before or (), cells)
    if test.rule_id in rules.records:
        record = rules.records[test.rule_id]
        for profile in past:
            if test.rule_id in profile.tested:
                record = record.plus(*profile.tested[test.rule_id])
        if isinstance(test, NotAmong):
            record = record.at_least(test.unseen)
        mean = record.broken / max(record.cells, 1) * cells
        held: tuple[float, float, Record | None] = (mean, mean, record)
    else:
        held = _usual_of([p.tested.get(test.rule_id, (0, p.rows)) for p in past], cells)
    return max(held, shown, key=lambda usual: usual[1])


def _usual_of(pairs: Sequence[tuple[int, int]], cells: int) -> tuple[float, float, Record | None]:
    """The mean and the largest count of so many cells, by the cells of each past batch that broke a test, and all."""
    if not pairs:
        return 0.0, 0.0, None
    shares = [broken / max(of, 1) for broken, of in pairs]
    record = Record()
    for broken, of in pairs:
        record = record.plus(broken, of)
    return sum(shares) / len(shares) * cells, max(shares) * cells, record


def _sentence(test: CellTest, place: int, count: int, tally: Tally) -> str:
    examples = [repr(value[:40]) for value in tally.examples[place][:3]]
    such = f", such as {', '.join(examples)}" if examples else ""
    span = tally.spans.get(place)
    dated = ""
    if span and count > 1:
        first, last = (datetime.fromtimestamp(second, UTC).date() for second in span)
        dated = f", all on {first}" if first == last else f", all between {first} and {last}"
    return f"{plural(count, 'value')} of {test.column} {_agreeing(test.words, count)}{such}{dated}"


def _agreeing(words: str, count: int) -> str:
    """What several values do, said of so many."""
    return _VERB.sub(lambda verb: _OF_ONE[verb[0]], words, count=1) if count == 1 else words


def _plainest(found: Sequence[Finding]) -> list[Finding]:
    """Findings without those that say the same again: of several columns that decide one, the surest and largest."""
    best: dict[tuple[str, str], Finding] = {}
    for finding in found:
        key = (
            ("dependency", finding.columns[-1])
            if finding.kind == "dependency"
            else (finding.kind, str(finding.columns))
        )
        other = best.get(key)
        if other is None or (finding.doubt, finding.count, finding.weight) > (other.doubt, other.count, other.weight):
            best[key] = finding
    return list(best.values())


def _missing(counted: Counted, past: Sequence[Profile], asked: int) -> tuple[list[Finding], float]:
    found, doubts = [], []
    rows = counted.rows
    for name in counted.columns:
        count, events = counted.tally.missing[name], counted.tally.missing_events[name]
        shares = [p.missing[name] for p in past if name in p.missing]
        if not count or rule_id("missing", (name,)) in counted.muted:
            continue
        p_value = _p_missing(counted, name, shares, past) if shares else None
        beyond = (
            excess(events, sum(shares) / len(shares) * rows, max(shares) * rows)
            if shares
            else weights.missing_doubt(count / rows) * rows
        )
        mine = beyond * beyond_chance(p_value, asked)
        doubts.append(mine)
        if shares and beyond < 1:
            continue
        usual = sum(shares) / len(shares) if shares else None
        shown, usually = measure_texts(count / rows, usual, "fraction")
        was = f"; {usually} are usual" if usual is not None else ""
        sentence = f"{count:,} of {rows:,} values of {name} are missing ({shown}{was})"
        found.append(Finding("missing", (name,), count, count / rows, sentence, "missing", 1.0, usual, mine, p_value))
    return found, sum(doubts) if past else weights.of_habits(doubts)


def _p_missing(counted: Counted, name: str, shares: Sequence[float], past: Sequence[Profile]) -> float:
    """The chance that so many cells of a column are missing where all is as before."""
    record = Record()
    for p in past:
        if name in p.missing:
            record = record.plus(round(p.missing[name] * p.rows), p.rows)
    # Where much is missing in long stretches, so many rows are worth fewer.
    is_often = sum(shares) / len(shares) > _OFTEN_MISSING
    worth = counted.tally.ordering.independent_missing(name) if is_often else 1.0
    some, of = ceil(counted.tally.missing_events[name] * worth), ceil(counted.rows * worth)
    return _beyond_all(some, of, max(shares), record)


def beyond_chance(p_value: float | None, asked: int) -> float:
    """How far a finding is one, and none of those that so many questions bring where all is as before: the share that
    one finding is of itself and of as many as are expected by chance. 1 where no past tells a chance.
    """
    return 1.0 if p_value is None else 1 / (1 + asked * p_value)


def _copies(counted: Counted, past: Sequence[Profile], asked: int) -> tuple[list[Finding], float]:
    """Rows that stand there again, whole or by a key that was never repeated."""
    rows, width = counted.rows, len(counted.columns)
    found, doubt = [], 0.0
    count = 0 if "copied_rows" in counted.muted else counted.copied_rows
    if count:
        shares = [p.copied_share for p in past]
        beyond = (
            excess(count, sum(shares) / len(shares) * rows, max(max(shares) * rows, counted.copies_by_chance))
            if shares
            else weights.few_copied(count, rows, counted.copies_by_chance)
        )
        record = Record()
        for p in past:
            record = record.plus(round(p.copied_share * p.rows), p.rows)
        by_chance = counted.copies_by_chance / max(rows, 1)
        p_value = _beyond_all(count, rows, max(max(shares), by_chance), record) if shares else None
        doubt = (weights.COPIED_ROW if shares else weights.COPIED_HERE) * beyond * width * beyond_chance(p_value, asked)
        if not shares or beyond >= 1:
            sentence = f"{count:,} of {rows:,} rows are copies of another row"
            found.append(
                Finding(
                    "duplicate",
                    (),
                    count,
                    count / rows,
                    sentence,
                    "copied_rows",
                    weights.COPIED_ROW,
                    None,
                    doubt,
                    p_value,
                )
            )
    for key, repeats in counted.repeats.items():
        name = rule_id("key", key)
        is_key = key == counted.declared_key or (len(past) >= 2 and all(p.repeats.get(name) == 0 for p in past))
        if not (is_key or key in counted.counting) or not repeats or name in counted.muted:
            continue
        beyond_copies = max(0, repeats - counted.copied_rows)
        mine = (
            weights.COPIED_ROW * beyond_copies * len(key)
            if is_key
            else weights.COPIED_HERE * weights.few(beyond_copies, rows, weights.FEW_COPIED)
        )
        cells = sum(p.rows for p in past)
        p_value = _tail(repeats, rows, Record(0, cells)) if cells else None
        mine *= beyond_chance(p_value, asked)
        doubt += mine
        said = plural(repeats, "row repeats", "rows repeat")
        sentence = f"{said} a value of {', '.join(key)}, which no two rows should share"
        found.append(
            Finding("duplicate", key, repeats, repeats / rows, sentence, "key", weights.COPIED_ROW, 0.0, mine, p_value)
        )
    return found, doubt


def _refused(counted: Counted, past: Sequence[Profile]) -> tuple[list[Finding], float]:
    """Lines that are no rows: all that they held is lost."""
    count, lines = counted.refused_rows, counted.lines
    if not count or _REFUSED in counted.muted:
        return [], 0.0
    shares = [p.refused_share for p in past]
    usual, most = (sum(shares) / len(shares), max(shares)) if shares else (0.0, 0.0)
    beyond = excess(count, usual * lines, most * lines)
    doubt = beyond * len(counted.columns)
    if shares and beyond < 1:
        return [], doubt
    where = ", ".join(f"{line:,}" for line in counted.refused_lines)
    more = ", …" if where and count > len(counted.refused_lines) else ""
    which = f": {'line' if count == 1 else 'lines'} {where}{more}" if where else ""
    are = "is" if count == 1 else "are"
    sentence = f"{count:,} of {lines:,} lines cannot be read as rows, and {are} not among them{which}"
    is_alert = len(past) >= LEAST_PAST_TO_ALERT
    return [
        Finding(
            "schema", (), count, count / lines, sentence, _REFUSED, 1.0, usual if shares else None, doubt,
            is_alert=is_alert, severity="high",
        )
    ], doubt  # fmt: skip


def _with_alert(finding: Finding, past: Sequence[Profile], asked: int) -> Finding:
    """A finding that would hardly be where all is as before is one that a person must know of."""
    if finding.is_alert or finding.p_value is None or len(past) < LEAST_PAST_TO_ALERT:
        return finding
    is_alert = finding.p_value <= _FALSE_ALARM_SHARE / asked and finding.weight >= 0.5
    severity = "high" if finding.share >= _HIGH_SHARE else "medium"
    return replace(finding, is_alert=is_alert, severity=severity if is_alert else "low")


def _tail_of_events(tally: Tally, test: CellTest, count: int, events: int, record: Record) -> float:
    """The chance of a count; where it comes in stretches, of so many of them among rows that are independent."""
    cells = max(tally.filled[test.column], 1)
    if events == count:
        return _tail(count, cells, record)
    worth = tally.ordering.independent_share(test.column)
    independent = Record(ceil(record.broken * worth), ceil(record.cells * worth), record.batches)
    return _tail(events, max(events, ceil(cells * worth)), independent)


def _tail(count: int, cells: int, record: Record) -> float:
    """The chance of a count; where batches scatter more than independent cells would, cells are worth fewer."""
    return scattered_tail(count, cells, min(record.share, 1.0), record.scatter) if record.cells else 1.0


def _beyond_all(count: int, cells: int, largest: float, record: Record) -> float:
    """The chance of a count both under the mean and under the largest share of past batches."""
    share = min(1.0, largest + 0.5 / max(cells, 1))
    return max(_tail(count, cells, record), scattered_tail(count, cells, share, record.scatter))
