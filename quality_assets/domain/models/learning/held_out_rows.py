"""What every candidate says of rows that it has not seen, and who is chosen by that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.models.learning.blocks import HeldOut, RowPlaces, lead, splits_of
from quality_assets.domain.models.learning.columns_of import taken
from quality_assets.domain.models.learning.learners import drawn_settings
from quality_assets.domain.models.learning.tabular import Candidate, SplitName, TabularUseCase, View
from quality_assets.domain.models.learning.tabular_model import fit, view_inputs
from quality_assets.domain.wording import change_text, share_text

SelectionMode = Literal["baseline", "tuned", "both"]
_PERMUTATIONS = 3


@dataclass(frozen=True)
class ViewRows:
    """The clean rows of a view: inputs that are known and may be learnt from, outcomes, places."""

    use_case: TabularUseCase
    view: View
    columns: Mapping[str, np.ndarray]
    y: Floats
    places: RowPlaces
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class SplitPredictions:
    """Of n rows: which were held out, in which fold, and what each candidate said of them (NaN elsewhere)."""

    is_tested: Bools
    fold: Ints
    by_candidate: Mapping[str, Floats]


@dataclass(frozen=True)
class Choice:
    """The candidate that a view predicts with, in which sentence it was chosen, and by how much of the squared error it
    beats the base and each baseline on the headline: share, low, high."""

    candidate: Candidate
    words: str
    leads: Mapping[str, tuple[float, float, float]]

    @property
    def beats_all(self) -> bool:
        """Whether it is better than every baseline, and than the base unless it is that, beyond chance."""
        return all(low > 0 for _, low, _ in self.leads.values())


def view_rows(
    use_case: TabularUseCase, view: View, columns: Mapping[str, np.ndarray], y: Floats, places: RowPlaces,
    refused: Sequence[str],
) -> ViewRows:  # fmt: skip
    """The rows of a view, without what is refused."""
    names = [column.name for column in use_case.contract.inputs if column.name not in refused]
    return ViewRows(use_case, view, columns, y, places, view_inputs(view, names))


def predicted_splits(
    rows: ViewRows, candidates: Sequence[Candidate], names: Sequence[SplitName]
) -> dict[SplitName, SplitPredictions]:
    """Held-out predictions of every candidate, split by split; a split that the rows are too few for is left out."""
    found: dict[SplitName, SplitPredictions] = {}
    for name in names:
        splits = splits_of(name, rows.places, rows.use_case.settings)
        if splits:
            found[name] = _predicted(rows, candidates, splits)
    return found


def _predicted(rows: ViewRows, candidates: Sequence[Candidate], splits: Sequence[HeldOut]) -> SplitPredictions:
    n = len(rows.y)
    fold, by_candidate = np.full(n, -1), {each.name: np.full(n, np.nan) for each in candidates}
    for at, split in enumerate(splits):
        train, test = taken(rows.columns, split.train), taken(rows.columns, split.test)
        fold[split.test] = at
        for candidate in candidates:
            fitted = fit(candidate, train, rows.y[split.train], rows.inputs)
            by_candidate[candidate.name][split.test] = fitted.predict(test)
    return SplitPredictions(fold >= 0, fold, by_candidate)


def error_of(rows: ViewRows, split: SplitPredictions, candidate: str) -> float:
    """The mean squared error of held-out rows."""
    tested = split.is_tested
    return float(((rows.y[tested] - split.by_candidate[candidate][tested]) ** 2).mean())


def lead_over(rows: ViewRows, split: SplitPredictions, ours: str, theirs: str) -> tuple[float, float, float]:
    """By what share of its squared error one candidate beats another on held-out rows: share, low, high."""
    tested = split.is_tested
    one, other = (split.by_candidate[name][tested] for name in (ours, theirs))
    return lead(rows.y[tested], one, other, rows.places.block[tested], rows.use_case.settings)


def choose(rows: ViewRows, candidates: Sequence[Candidate], splits: Mapping[SplitName, SplitPredictions]) -> Choice:
    """Who predicts: the base, unless a candidate beats it beyond chance where it is chosen by and on the headline.

    Chosen by earlier quarters where there are any, so that the headline has not chosen what it grades.
    """
    headline = splits[rows.use_case.headline]
    selecting = splits.get("rolling", headline)
    by_name = {each.name: each for each in candidates}
    learnt = [each for each in candidates if each.role == "candidate"]
    best = min(learnt, key=lambda each: error_of(rows, selecting, each.name))
    base = next((each for each in candidates if each.role == "base"), None)
    chosen, words = best, f"{_spoken(best.name)} has the lowest error of those that learn"
    if base is not None:
        chosen, words = _base_or(rows, base, best, selecting, headline)
    rivals = [each.name for each in candidates if each.role != "candidate" and each.name != chosen.name]
    leads = {name: lead_over(rows, headline, chosen.name, name) for name in rivals}
    lost = [name for name, (_, low, _) in leads.items() if low <= 0]
    if lost and chosen.role == "candidate":
        stand_in = min(lost, key=lambda name: error_of(rows, headline, name))
        chosen = by_name[stand_in]
        words = f"{_spoken(best.name)} does not beat {_spoken(stand_in)} beyond chance, which predicts in its place"
        rest = [each.name for each in candidates if each.role == "baseline" and each.name != stand_in]
        leads = {name: lead_over(rows, headline, stand_in, name) for name in rest}
        if chosen.role == "baseline":
            leads[best.name] = (0.0, 0.0, 0.0)
    return Choice(chosen, words, leads)


def _base_or(
    rows: ViewRows, base: Candidate, best: Candidate, selecting: SplitPredictions, headline: SplitPredictions
) -> tuple[Candidate, str]:
    share, low, _ = lead_over(rows, selecting, best.name, base.name)
    on_headline = lead_over(rows, headline, best.name, base.name)
    if low > 0 and on_headline[1] > 0:
        return best, f"{_spoken(best.name)} leaves {share_text(share)} less squared error than the base beyond chance"
    return base, (
        f"the base {_spoken(base.name)} stays: the best that learns, {_spoken(best.name)}, does not beat it beyond"
        f" chance ({change_text(share)} less squared error where it is chosen, {change_text(on_headline[0])} on the"
        " headline)"
    )


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def tried(rows: ViewRows, mode: SelectionMode) -> list[Candidate]:
    """The candidates of a selection mode: as declared, with settings that were searched for, or both."""
    declared = list(rows.view.candidates)
    if mode == "baseline":
        return declared
    learning = [each for each in declared if each.role == "candidate"]
    tuned = [replace(each, name=f"{each.name}_tuned", settings=_tuned(rows, each)) for each in learning]
    kept = declared if mode == "both" else [each for each in declared if each.role != "candidate"]
    return [*kept, *tuned]


def _tuned(rows: ViewRows, candidate: Candidate) -> Mapping[str, Any]:
    """The best of a few drawn settings, the declared ones among them, on earlier quarters or on half of the areas.

    Only rows of the training part of the headline's first split are looked at.
    """
    settings = rows.use_case.settings
    first = splits_of(rows.use_case.headline, rows.places, settings)[0]
    positions = np.flatnonzero(first.train)
    rng = np.random.default_rng(settings.seed)
    if rows.places.day is None:
        positions = np.sort(rng.permutation(positions)[: settings.tuning_rows])
    places = rows.places.taken(np.isin(np.arange(len(rows.y)), positions))
    part = replace(rows, columns=taken(rows.columns, positions), y=rows.y[positions], places=places)
    inner: SplitName = "rolling" if places.day is not None else rows.use_case.headline
    splits = splits_of(inner, places, settings)[-2:]
    assert candidate.learner is not None  # who has none learns nothing, and is no candidate
    draws = [dict(candidate.settings)] + [drawn_settings(candidate.learner, rng) for _ in range(settings.trials)]
    named = [replace(candidate, name=str(at), settings=draw) for at, draw in enumerate(draws)]
    if not splits:
        return candidate.settings
    found = _predicted(part, named, splits)
    return draws[min(range(len(draws)), key=lambda at: error_of(part, found, str(at)))]


def permuted_r2(rows: ViewRows) -> float:
    """The R² of boosted trees that were taught a target that belongs to other rows: about 0, or rows leak.

    The mean of a few permutations, by the first of the headline's splits.
    """
    settings = rows.use_case.settings
    probe = Candidate("probe", learner="gradient_boosting", settings={"n_estimators": 30, "min_samples_leaf": 30})
    rng = np.random.default_rng(settings.seed)
    split = splits_of(rows.use_case.headline, rows.places, settings)[0]
    train = np.flatnonzero(split.train)
    train = rng.permutation(train)[: settings.tuning_rows]
    found = []
    for _ in range(_PERMUTATIONS):
        y = rng.permutation(rows.y)
        fitted = fit(probe, taken(rows.columns, train), y[train], rows.inputs)
        error = y[split.test] - fitted.predict(taken(rows.columns, split.test))
        around = y[split.test] - y[split.test].mean()
        found.append(1 - float((error**2).sum() / (around**2).sum()))
    return float(np.mean(found))
