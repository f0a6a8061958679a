"""What an input knows of the target that it cannot know: four questions, asked before any row is held out.

Small trees answer out of fold: does the target alone decide the input (a bucket of it does), does the input alone give
the target (a copy with noise does), is the target an arithmetic of two inputs in a share of rows, and is an input known
only after the decision? The first two and the last refuse an input by name; an arithmetic is reported, and so is a cap
on the values at which it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from quality_assets.contracts.learning import LearningColumn
from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.learning.columns_of import Columns, is_unknown, matrix
from quality_assets.domain.models.learning.tabular import LearningSettings
from quality_assets.domain.wording import share_text

_FOLDS = 4
_DEPTH, _LEAF = 7, 5
_MOST_CLASSES = 30
_MOST_ROWS = 8_000
_EXACT = 1e-9
_HALF_UNIT = 0.00501
_CAP_SHARE = 0.01
_CAP_BREAK = 0.5


@dataclass(frozen=True)
class Finding:
    """What a guard found of an input, or of a pair joined by a sign."""

    guard: str
    inputs: str
    evidence: float
    limit: float
    verdict: str
    words: str


def guard_findings(
    inputs: Sequence[LearningColumn], target: LearningColumn, columns: Columns, y: Floats, settings: LearningSettings
) -> list[Finding]:
    """All findings, what is refused first, then by evidence."""
    rng = np.random.default_rng(settings.seed)
    some = np.sort(rng.permutation(len(y))[:_MOST_ROWS])
    drawn = {name: values[some] for name, values in columns.items()}
    found = [
        *_known_after(inputs),
        *(_target_gives(column, target, drawn[column.name], y[some], settings) for column in inputs),
        *(_gives_target(column, target, drawn[column.name], y[some], settings) for column in inputs),
        *_identities(inputs, target, columns, y, settings),
    ]
    order = {"refused": 0, "reported": 1, "passed": 2}
    return sorted(found, key=lambda each: (order[each.verdict], -each.evidence, each.guard, each.inputs))


def refused_inputs(findings: Sequence[Finding]) -> tuple[str, ...]:
    """The inputs that nothing may learn from, each once."""
    return tuple(dict.fromkeys(each.inputs for each in findings if each.verdict == "refused"))


def _known_after(inputs: Sequence[LearningColumn]) -> Iterator[Finding]:
    for column in inputs:
        if column.known_at == "after":
            words = f"{column.name} is known only after the decision: {column.description.lower()}"
            yield Finding("known_after", column.name, 1.0, 1.0, "refused", words)


def _target_gives(
    column: LearningColumn, target: LearningColumn, values: np.ndarray, y: Floats, settings: LearningSettings
) -> Finding:
    """Whether the target alone decides the input."""
    is_known = ~is_unknown(values)
    evidence = np.nan
    if _can_tell(values, is_known):
        x = y[is_known].reshape(-1, 1)
        if column.is_category:
            evidence = _balanced_accuracy(x, values[is_known])
        else:
            evidence = _r2(x, values[is_known].astype(float))
    what = "balanced accuracy above chance" if column.is_category else "R²"
    return _judged(
        "target_gives_input", column.name, evidence, settings,
        f"{target.name} alone gives {column.name} with {what} {_number(evidence)} out of fold",
        "it is made of the target",
    )  # fmt: skip


def _gives_target(
    column: LearningColumn, target: LearningColumn, values: np.ndarray, y: Floats, settings: LearningSettings
) -> Finding:
    """Whether the input alone gives the target."""
    is_known = ~is_unknown(values)
    evidence = np.nan
    if _can_tell(values, is_known):
        names = {column.name: tuple(sorted(set(values[is_known])))} if column.is_category else {}
        evidence = _r2(matrix({column.name: values[is_known]}, [column.name], names), y[is_known])
    return _judged(
        "input_gives_target", column.name, evidence, settings,
        f"{column.name} alone gives {target.name} with R² {_number(evidence)} out of fold",
        "it is the target, or a copy of it",
    )  # fmt: skip


def _judged(guard: str, name: str, evidence: float, settings: LearningSettings, words: str, why: str) -> Finding:
    if not np.isfinite(evidence):
        return Finding(guard, name, 0.0, settings.leak_limit, "passed", f"{name} has too few values to tell")
    is_leak = evidence >= settings.leak_limit
    end = f", at least {settings.leak_limit:g}: {why}" if is_leak else ""
    return Finding(guard, name, evidence, settings.leak_limit, "refused" if is_leak else "passed", words + end)


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "unknown"


def _can_tell(values: np.ndarray, is_known: Bools) -> bool:
    known = values[is_known]
    return len(known) >= 2 * _FOLDS and len(set(known.tolist())) > 1


def _folds(rows: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(rows) % _FOLDS


def _r2(x: Floats, y: Floats) -> float:
    from sklearn.tree import DecisionTreeRegressor

    predicted = _out_of_fold(
        x, y, lambda: DecisionTreeRegressor(max_depth=_DEPTH, min_samples_leaf=_LEAF, random_state=0)
    )
    around = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - predicted) ** 2).sum()) / around if around > 0 else np.nan


def _balanced_accuracy(x: Floats, names: np.ndarray) -> float:
    """Above chance: 0 for a guess, 1 where every class is told."""
    from sklearn.tree import DecisionTreeClassifier

    found, classes = np.unique(names.astype(str), return_inverse=True)
    if len(found) > _MOST_CLASSES:
        return np.nan
    predicted = _out_of_fold(
        x,
        classes.astype(float),
        lambda: DecisionTreeClassifier(
            max_depth=_DEPTH, min_samples_leaf=_LEAF, class_weight="balanced", random_state=0
        ),
    )
    right = np.array([(predicted[classes == each] == each).mean() for each in range(len(found))])
    return float((right.mean() - 1 / len(found)) / (1 - 1 / len(found)))


def _out_of_fold(x: Floats, y: Floats, made: Callable[[], Any]) -> Floats:
    fold = _folds(len(y))
    predicted = np.zeros(len(y))
    for each in range(_FOLDS):
        tree = made().fit(x[fold != each], y[fold != each])
        predicted[fold == each] = tree.predict(x[fold == each])
    return predicted


_SIGNS: tuple[tuple[str, Callable[[Floats, Floats], Floats]], ...] = (
    ("×", lambda a, b: a * b),
    ("+", lambda a, b: a + b),
    ("−", lambda a, b: a - b),
    ("÷", lambda a, b: a / np.where(b == 0, np.nan, b)),
)


def _identities(
    inputs: Sequence[LearningColumn], target: LearningColumn, columns: Columns, y: Floats, settings: LearningSettings
) -> Iterator[Finding]:
    """Arithmetics of two inputs that give the target to half a hundredth, and the caps at which they end."""
    numbers = [column for column in inputs if not column.is_category]
    for one, other in combinations(numbers, 2):
        for sign, apply in _SIGNS:
            for first, second in ((one, other), (other, one)) if sign in "−÷" else ((one, other),):
                holds = _holds(apply(columns[first.name], columns[second.name]), y)
                share = float(holds.mean())
                if share >= settings.identity_share:
                    yield _identity(first, sign, second, target, holds, settings)
                    yield from _caps(
                        (first, second), columns, holds, f"{target.name} = {first.name} {sign} {second.name}"
                    )


def _holds(given: Floats, y: Floats) -> Bools:
    # A target of zero, or a factor of one, would make many arithmetics hold by chance.
    return np.isfinite(given) & (np.abs(given - y) <= np.maximum(_HALF_UNIT, _EXACT * np.abs(y))) & (np.abs(y) > 0)


def _identity(
    first: LearningColumn, sign: str, second: LearningColumn, target: LearningColumn, holds: Bools,
    settings: LearningSettings,
) -> Finding:  # fmt: skip
    share = float(holds.mean())
    return Finding(
        "identity",
        f"{first.name} {sign} {second.name}",
        share,
        settings.identity_share,
        "reported",
        f"{target.name} = {first.name} {sign} {second.name} in {share_text(share)} of rows ({int(holds.sum()):,} of"
        f" {len(holds):,}): where both are known, {target.name} is, so that what is known of them and when is said in"
        f" the contract ({first.name} {first.known_at}, {second.name} {second.known_at} the decision)",
    )


def _caps(inputs: Sequence[LearningColumn], columns: Columns, holds: Bools, identity: str) -> Iterator[Finding]:
    """An input whose highest value many rows share, at which the arithmetic ends."""
    for column in inputs:
        values = columns[column.name]
        cap = float(np.nanmax(values))
        is_capped = values >= cap
        share = float(is_capped.mean())
        if is_capped.all():
            continue
        if share >= _CAP_SHARE and holds[~is_capped].mean() - holds[is_capped].mean() >= _CAP_BREAK:
            yield Finding(
                "value_cap",
                column.name,
                share,
                _CAP_SHARE,
                "reported",
                f"{column.name} is capped at {cap:g}: {int(is_capped.sum()):,} rows ({share_text(share)}) have it, and"
                f" {identity} holds in {share_text(holds[~is_capped].mean())} of the rows below and in"
                f" {share_text(holds[is_capped].mean())} of those at it",
            )
