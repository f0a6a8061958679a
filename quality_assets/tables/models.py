"""Building the `ml` schema: labels and inputs from facts, models from those, scores, and what became of them.

How each is computed is said in `domain/models` and its folder `risk`. What learns or loads models is imported where it
is used, because it takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quality_assets.contracts.drift import DATA_DRIFT
from quality_assets.contracts.ml import (
    CALIBRATION,
    DEGRADATION_LABELS,
    FEATURE_IMPORTANCE,
    MODEL_METRICS,
    MODEL_VERSIONS,
    RISK_SCORES,
    RISK_TRAINING_SET,
    SCORE_LEDGER,
)
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.quality.check import Subject
from quality_assets.domain.series.states import Watched
from quality_assets.progress import Progress
from quality_assets.settings import Settings
from quality_assets.stores.frames import read_frame, replace_rows
from quality_assets.stores.model_files import WHAT_NEXT, export_file, registry_folder
from quality_assets.stores.model_layout_1 import is_export
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.champion import NO_VERSION, code_version, load_champion, registry_of
from quality_assets.tables.feature_states import probe_sources, read_watched, watch_warehouse
from quality_assets.tables.model_inputs import inputs_of, read_training_set
from quality_assets.tables.risk_history import is_backfill_due

if TYPE_CHECKING:
    from quality_assets.domain.models.artifact import TrainingResult
    from quality_assets.domain.models.promotion import Decision
    from quality_assets.stores.models import ModelRegistry

AS_SAID = "not coalesce(is_backfilled, false)"
"""Of ml.risk_scores: what was said of a day when it was the last one."""
_OF_RISK = f"model = '{FEATURE_RISK.name}'"

RISK_MODEL = Subject("model", "ml.risk_model")
"""The model as an asset and as what checks speak of; what is told of it is the champion's row of ml.model_versions."""


def is_scored(session: WarehouseSession) -> bool:
    """Whether the last day with facts was scored and its drift looked at, by whatever stood in for a model, and the
    days before there was a model have been made up for."""
    row = session.connection.execute(
        f"select (select max(event_date) from {FACT_FEATURE_METRICS.qualified_name}) as last,"
        f" (select max(event_date) from {RISK_SCORES.qualified_name}) as scored,"
        f" (select max(event_date) from {DATA_DRIFT.qualified_name}) as judged"
    ).fetchone()
    assert row is not None  # scalar subqueries give one row
    return bool(row[0] is None or (row[1] == row[0] and row[2] == row[0])) and not is_backfill_due(session)


@dataclass(frozen=True)
class Trained:
    """A model that was trained and saved: its version, its evidence, and whether it is in use now."""

    version: str
    result: TrainingResult
    decision: Decision


def train(session: WarehouseSession, progress: Progress) -> Trained:
    """Train on what ml.risk_training_set holds, save to the registry, promote if it wins, and fill the evidence tables.

    An input that knows what it cannot know is not learnt from; the model's notes say so.
    """
    from quality_assets.domain.models.promotion import Decision, promotion_decision
    from quality_assets.domain.models.risk.training import train_risk_model
    from quality_assets.stores.models import ModelRegistry

    training_set = read_training_set(session)
    onsets = read_frame(
        session, f"select event_date, feature from {DEGRADATION_LABELS.qualified_name} where is_onset_today"
    )
    progress(f"training on {len(training_set):,} feature-days")
    result = train_risk_model(training_set, onsets=onsets)
    progress("saving the model")
    registry = ModelRegistry(registry_folder(session.settings.models_dir, FEATURE_RISK), FEATURE_RISK)
    champion = registry.load_champion()
    if champion.model is None and champion.version != NO_VERSION:
        decision = Decision(True, f"the champion cannot score: {champion.why.removesuffix(WHAT_NEXT)}")
    else:
        decision = promotion_decision(FEATURE_RISK, champion.model, result, training_set)
    version = registry.save(result, code_version(), decision)
    write_evidence(session, registry, version)
    _export_champion(registry, session.settings)
    _tell_releases(session.settings)
    return Trained(version, result, decision)


def _tell_releases(settings: Settings) -> None:
    """Have the log of releases, which all use cases share, know what the registry promoted."""
    from quality_assets.tables.risk_releases import adopt_risk_releases

    adopt_risk_releases(settings)


def write_evidence(session: WarehouseSession, registry: ModelRegistry, version: str) -> None:
    """The registry's account of a version, and of all versions, as tables."""
    evidence = registry.evidence(version)
    tables = ((MODEL_METRICS, "metrics"), (FEATURE_IMPORTANCE, "importance"), (CALIBRATION, "calibration"))
    for table, name in tables:
        own = f"model_version = $version and {_OF_RISK}"
        replace_rows(session, table, evidence[name].assign(model=FEATURE_RISK.name), own, {"version": version})
    replace_rows(session, MODEL_VERSIONS, registry.versions().assign(model=FEATURE_RISK.name), _OF_RISK)


def _export_champion(registry: ModelRegistry, settings: Settings) -> None:
    champion = registry.champion_version()
    if champion is not None:
        registry.export(champion, export_file(settings.models_dir, FEATURE_RISK))


def _renew_export(settings: Settings) -> None:
    """Write the export anew where it is of the layout before, which code that has moved since cannot read."""
    registry = registry_of(settings)
    if registry is not None and is_export(export_file(settings.models_dir, FEATURE_RISK)):
        _export_champion(registry, settings)


def build_scores(session: WarehouseSession, progress: Progress) -> pd.DataFrame:
    """Score the days since the last scored one, that one included as more of it may have come; the rows written.

    Rows of earlier days and of other versions are never touched, but those of days beyond the last that there still is.
    A day is left out that the model was trained on with its outcome in sight.
    """
    from quality_assets.domain.models.risk.scoring import score_risk

    rows = read_frame(
        session,
        f"select * from {RISK_TRAINING_SET.qualified_name} where event_date >= least((select max(event_date) from"
        f" {RISK_SCORES.qualified_name}), (select max(event_date) from {RISK_TRAINING_SET.qualified_name}))"
        " order by event_date, feature",
    )
    if not len(rows):
        return pd.DataFrame(columns=list(RISK_SCORES.column_names))
    through = rows["event_date"].max()
    loaded = load_champion(session.settings)
    if loaded.model is not None:
        unseen = pd.Timestamp(loaded.model.trained_through - timedelta(days=loaded.model.horizon_days))
        rows = rows[pd.to_datetime(rows["event_date"]) > unseen].reset_index(drop=True)
        _renew_export(session.settings)
    progress(f"scoring {len(rows):,} feature-days by model {loaded.version}")
    scores = score_risk(loaded.model, rows, loaded.version, why_no_model=loaded.why)
    since = {"version": loaded.version, "since": rows["event_date"].min() if len(rows) else date.max}
    of_these = "(model_version = $version and event_date >= $since) or event_date > $through"
    replace_rows(session, RISK_SCORES, scores, of_these, {**since, "through": through})
    return scores


def build_ledger(session: WarehouseSession) -> pd.DataFrame:
    """Replace ml.score_ledger: every score that was said beside what happened, as far as that is known; the rows
    written."""
    from quality_assets.domain.models.risk.scoring import grade_scores

    scores = read_frame(
        session,
        f"select * from {RISK_SCORES.qualified_name} where {AS_SAID} order by event_date, feature, model_version",
    )
    labels = read_frame(session, f"select * from {DEGRADATION_LABELS.qualified_name}")
    ledger = grade_scores(scores, labels) if len(scores) else pd.DataFrame(columns=list(SCORE_LEDGER.column_names))
    replace_rows(session, SCORE_LEDGER, ledger)
    return ledger


def effects_on_predictions(session: WarehouseSession) -> dict[str, float]:
    """How far the champion's score moves when an input alone takes its distribution of the last week; by input."""
    from quality_assets.domain.models.effects import effects_on_predictions as effects
    from quality_assets.domain.models.rows import input_matrix
    from quality_assets.tables.model_inputs import EFFECT_ROWS, recent_inputs

    model = load_champion(session.settings).model
    target = model.targets.get(FEATURE_RISK.main_target.name) if model is not None else None
    if target is None:
        return {}

    def predict(rows: pd.DataFrame) -> Any:
        return target.probability(input_matrix(FEATURE_RISK, rows), rows["feature"].to_numpy())

    reference, current = recent_inputs(session)
    return effects(reference, current, FEATURE_RISK.input_names, predict, most_rows=EFFECT_ROWS)


def differing_inputs(session: WarehouseSession, day: date) -> tuple[int, list[str]]:
    """How many stored inputs of `day` differ from those recomputed from a warehouse cut at that day, and examples."""
    watched = watch_warehouse(session.connection, day, probe_sources=probe_sources(session.settings))
    return _differing(session, day, watched)


def differing_last_inputs(session: WarehouseSession, day: date) -> tuple[int, list[str]]:
    """The same of the last day: nothing is known after it, and what is stored of its states is as of its end."""
    return _differing(session, day, read_watched(session.connection, day))


def _differing(session: WarehouseSession, day: date, watched: Sequence[Watched]) -> tuple[int, list[str]]:
    again = inputs_of(session.connection, day, watched).set_index("feature").sort_index()
    stored = read_frame(
        session, f"select * from {RISK_TRAINING_SET.qualified_name} where event_date = $day", {"day": day}
    )
    stored = stored.set_index("feature").sort_index()
    if list(stored.index) != list(again.index):
        return len(set(stored.index) ^ set(again.index)) or 1, [f"{day}: not the same features"]
    names = [*FEATURE_RISK.input_names, "usual_users"]
    one, two = (frame[names].to_numpy(dtype=float, na_value=np.nan) for frame in (stored, again))
    differs = ~np.isclose(one, two, rtol=1e-9, atol=1e-9, equal_nan=True)
    rows, columns = np.nonzero(differs)
    examples = [
        f"{day} {stored.index[r]} {names[c]}: {one[r, c]:.6g}, then {two[r, c]:.6g}"
        for r, c in zip(rows[:5], columns[:5], strict=True)
    ]
    return int(differs.sum()), examples


def differing_scores(session: WarehouseSession) -> tuple[int | None, list[str]]:
    """How many of the last day's stored scores differ from those recomputed from a warehouse cut at that day.

    None where there is nothing to compare: no scores, or no model.
    """
    from quality_assets.domain.models.risk.scoring import score_risk

    stored = read_frame(
        session,
        f"select * from {RISK_SCORES.qualified_name} where event_date = (select max(event_date) from"
        f" {RISK_SCORES.qualified_name}) order by feature",
    )
    loaded = load_champion(session.settings)
    stored = stored[stored["model_version"] == loaded.version]
    if loaded.model is None or not len(stored):
        return None, []
    day = pd.Timestamp(stored["event_date"].iloc[0])
    again = inputs_of(session.connection, day.date())
    scored = score_risk(loaded.model, again, loaded.version, is_explained=False)
    scores = scored.set_index("feature")["risk_probability"]
    both = stored.set_index("feature")["risk_probability"].to_frame("stored").join(scores.rename("again"), how="outer")
    same = np.isclose(both["stored"], both["again"], rtol=1e-6, atol=1e-9, equal_nan=True)
    wrong = both[~same]
    examples = [f"{name}: {row['stored']:.4f}, then {row['again']:.4f}" for name, row in wrong.head(5).iterrows()]
    return len(wrong), examples
