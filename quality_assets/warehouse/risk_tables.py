"""Building the `ml` schema: labels and inputs from facts, models from those, scores, and what became of them.

How each is computed is said in `domain/labels.py`, `risk_inputs.py` and `risk.py`. What learns or loads models is
imported where it is used, because it takes seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quality_assets.contracts.drift import DATA_DRIFT, EVENT_SKETCH_COUNTS
from quality_assets.contracts.events import QUARANTINED_EVENTS, VALID_EVENTS
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
from quality_assets.contracts.monitoring import PARTITION_STATE
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.domain.labels import degradation_labels, feature_states
from quality_assets.domain.risk_input_registry import INPUT_NAMES, inputs_fingerprint
from quality_assets.domain.risk_inputs import RiskContext, risk_inputs, with_labels
from quality_assets.settings import Settings
from quality_assets.warehouse.database import WarehouseSession
from quality_assets.warehouse.frames import read_frame, replace_rows
from quality_assets.warehouse.model_files import MODEL_FILE, WHAT_NEXT, is_model_file
from quality_assets.warehouse.model_layout_1 import is_export

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from quality_assets.domain.risk import Decision, TrainingResult
    from quality_assets.warehouse.model_registry import LoadedModel, ModelRegistry

Progress = Callable[[str], None]

# A baseline takes 24 days and the horizon a week: what is left must show several folds their degradations.
MIN_TRAINING_DAYS = 60
# A version with less of the day's events than this is a test build or dirt, not a release.
MIN_RELEASE_SHARE = 0.01
# As long as `releases_14d` counts a release as recent.
NEW_VERSION_DAYS = 14
NO_VERSION = "none"
EXPORT_FILE = "risk_model.joblib"
# By name, so that none is left out by moving it; the tests hold them to be all that training reads.
MODEL_CODE = (
    "quality_assets.domain.feature_panel",
    "quality_assets.domain.labels",
    "quality_assets.domain.risk",
    "quality_assets.domain.risk_grading",
    "quality_assets.domain.risk_input_registry",
    "quality_assets.domain.risk_inputs",
    "quality_assets.domain.risk_models",
    "quality_assets.domain.risk_reasons",
)
_RELEASES_SQL = f"""
shares as (
  select event_date, bin as version, n / sum(n) over (partition by event_date) as share
  from {EVENT_SKETCH_COUNTS.qualified_name}
  where name = 'app_version' and feature = '' and bin <> '(unknown)' and event_date <= coalesce($through, event_date)
),
releases as (
  select version, min(event_date) as release_date from shares where share >= {MIN_RELEASE_SHARE}
  group by version having min(event_date) > (select min(event_date) from shares)
)"""
RISK_MODEL = replace(
    MODEL_VERSIONS,
    name="risk_model",
    description="The model in use, in the registry under models/, and as models/risk_model.joblib",
    grain="one model",
)
"""The model as an asset. No such table exists: what is told of it is the champion's row of ml.model_versions."""


def read_facts(connection: DuckDBPyConnection, through: date | None = None) -> pd.DataFrame:
    """The facts, up to `through` where given, as they stand in the warehouse or in a snapshot."""
    return connection.execute(
        f"select * from {FACT_FEATURE_METRICS.qualified_name} where event_date <= coalesce($through, event_date)",
        {"through": through},
    ).df()


def risk_context(connection: DuckDBPyConnection, through: date | None = None) -> RiskContext:
    """What was known beside the facts at the end of `through`: releases, descriptions, mixes, quarantined rows.

    A release is dated by the first day on which the version had its share of events; versions that were there when
    telemetry began have no date.
    """
    upto = {"through": through}
    releases = connection.execute(f"with {_RELEASES_SQL} select * from releases order by all", upto).df()
    mix = connection.execute(
        f"""
with {_RELEASES_SQL},
newest as (
  select event_date,
    -- In the first weeks a version without a date may be as new as any.
    case when event_date >= (select min(event_date) from shares) + {NEW_VERSION_DAYS} then coalesce(sum(share) filter
      (release_date <= event_date and release_date > event_date - {NEW_VERSION_DAYS}), 0) end as newest_version_share
  from shares left join releases using (version) group by event_date
),
platforms as (
  select event_date, feature, max(n) / sum(n) as top_platform_share from {EVENT_SKETCH_COUNTS.qualified_name}
  where name = 'platform_events' and event_date <= coalesce($through, event_date) group by event_date, feature
)
select event_date, feature, newest_version_share, top_platform_share from platforms left join newest using (event_date)
""",
        upto,
    ).df()
    quality = connection.execute(
        f"""
select event_date, sum(row_count) filter (where table_name = '{QUARANTINED_EVENTS.qualified_name}')
  / nullif(cast(sum(row_count) as double), 0) as quarantined_share
from {PARTITION_STATE.qualified_name}
where table_name in ('{VALID_EVENTS.qualified_name}', '{QUARANTINED_EVENTS.qualified_name}')
  and event_date <= coalesce($through, event_date)
group by event_date
""",
        upto,
    ).df()
    metadata = connection.execute(
        f"select feature, lifecycle_stage, tier from {FEATURE_DESCRIPTIONS.qualified_name}"
    ).df()
    return RiskContext(releases=releases, metadata=metadata if len(metadata) else None, mix=mix, quality=quality)


@dataclass(frozen=True)
class LabelsAndInputs:
    """Rows of ml.degradation_labels and of ml.risk_training_set, of the same feature-days."""

    labels: pd.DataFrame
    training_set: pd.DataFrame


def labels_and_inputs(connection: DuckDBPyConnection, through: date | None = None) -> LabelsAndInputs:
    """Labels and inputs as they were known at the end of `through`, or as they are known now."""
    states = feature_states(read_facts(connection, through), through=through)
    labels = degradation_labels(states)
    return LabelsAndInputs(labels, with_labels(risk_inputs(states, risk_context(connection, through)), labels))


def build_labels_and_inputs(session: WarehouseSession, progress: Progress) -> LabelsAndInputs:
    """Replace ml.degradation_labels and ml.risk_training_set by what the facts say now; the rows written."""
    made = labels_and_inputs(session.connection)
    progress(f"{len(made.training_set):,} feature-days")
    replace_rows(session, DEGRADATION_LABELS, made.labels)
    replace_rows(session, RISK_TRAINING_SET, made.training_set)
    return made


def read_training_set(session: WarehouseSession) -> pd.DataFrame:
    """The training set as models take it."""
    rows = read_frame(session, f"select * from {RISK_TRAINING_SET.qualified_name} order by event_date, feature")
    for name in ("label_any", "label_onset"):
        rows[name] = rows[name].astype("boolean")
    return rows


def registry_of(settings: Settings) -> ModelRegistry | None:
    """The registry of the data root; None before the first model, without importing what models need."""
    if not (settings.models_dir / "registry.db").is_file():
        return None
    from quality_assets.warehouse.model_registry import ModelRegistry

    return ModelRegistry(settings.models_dir)


def load_champion(settings: Settings) -> LoadedModel:
    """The model in use, or none and why. Read once for as long as no file of the registry is touched."""
    files = [(str(path), path.stat()) for path in settings.models_dir.rglob("*") if path.is_file()]
    stamps = tuple(sorted((path, stat.st_mtime_ns, stat.st_size) for path, stat in files))
    return _load_champion(settings, stamps, inputs_fingerprint())


@lru_cache(maxsize=1)
def _load_champion(settings: Settings, files: tuple[tuple[str, int, int], ...], inputs: str) -> LoadedModel:
    from quality_assets.warehouse.model_registry import LoadedModel

    try:
        registry = registry_of(settings)
        if registry is None:
            return LoadedModel(None, NO_VERSION, "no model has been trained yet", needs_training=True)
        return registry.load_champion()
    except Exception as error:  # A registry that cannot be read must not stop the day's facts; the scores say why.
        return LoadedModel(None, NO_VERSION, f"the model registry cannot be read: {error}")


def is_training_due(session: WarehouseSession) -> bool:
    """Whether no model can score and history is enough for one: there is none yet, or it is outgrown."""
    if not load_champion(session.settings).needs_training:
        return False
    row = session.connection.execute(
        f"select count(distinct event_date) from {FACT_FEATURE_METRICS.qualified_name}"
    ).fetchone()
    return row is not None and row[0] >= MIN_TRAINING_DAYS


def is_outgrown(session: WarehouseSession) -> bool:
    """Whether the champion cannot score: it was made for other inputs than the present ones, or cannot be loaded.

    Loading takes seconds, so one that has scored the last day is believed as long as its file is there, of a layout
    that is read. What only loading shows is found by `is_training_due`, once there is something to score.
    """
    row = session.connection.execute(
        f"select inputs_fingerprint, artifact_sha256, exists(from {RISK_SCORES.qualified_name} as scores where"
        f" scores.model_version = versions.model_version and score_kind <> 'unknown' and event_date ="
        f" (select max(event_date) from {RISK_SCORES.qualified_name}))"
        f" from {MODEL_VERSIONS.qualified_name} as versions where alias = 'champion'"
    ).fetchone()
    if row is None:
        return False
    fingerprint, sha256, has_scored = row
    if fingerprint != inputs_fingerprint() or not _has_model_file(session.settings.models_dir, sha256):
        return True
    return not has_scored and load_champion(session.settings).needs_training


def _has_model_file(models_dir: Path, sha256: str) -> bool:
    """Whether there is a readable model file of this content."""
    for path in models_dir.glob(f"artifacts/*/artifacts/{MODEL_FILE}"):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() == sha256:
            return is_model_file(content)
    return False


def is_scored(session: WarehouseSession) -> bool:
    """Whether the last day with facts was scored and its drift looked at, by whatever stood in for a model."""
    row = session.connection.execute(
        f"select (select max(event_date) from {FACT_FEATURE_METRICS.qualified_name}) as last,"
        f" (select max(event_date) from {RISK_SCORES.qualified_name}) as scored,"
        f" (select max(event_date) from {DATA_DRIFT.qualified_name}) as judged"
    ).fetchone()
    assert row is not None  # scalar subqueries give one row
    return bool(row[0] is None or (row[1] == row[0] and row[2] == row[0]))


@dataclass(frozen=True)
class Trained:
    """A model that was trained and saved: its version, its evidence, and whether it is in use now."""

    version: str
    result: TrainingResult
    decision: Decision


def train(session: WarehouseSession, progress: Progress) -> Trained:
    """Train on what ml.risk_training_set holds, save to the registry, promote if it wins, and fill the evidence tables.

    Raises domain.risk.SuspectedLeakError when an input knows what it cannot know; nothing is saved then.
    """
    from quality_assets.domain.risk import Decision, promotion_decision, train_risk_model
    from quality_assets.warehouse.model_registry import ModelRegistry

    training_set = read_training_set(session)
    onsets = read_frame(
        session, f"select event_date, feature from {DEGRADATION_LABELS.qualified_name} where is_onset_today"
    )
    progress(f"training on {len(training_set):,} feature-days")
    result = train_risk_model(training_set, onsets=onsets)
    progress("saving the model")
    registry = ModelRegistry(session.settings.models_dir)
    champion = registry.load_champion()
    if champion.model is None and champion.version != NO_VERSION:
        decision = Decision(True, f"the champion cannot score: {champion.why.removesuffix(WHAT_NEXT)}")
    else:
        decision = promotion_decision(champion.model, result, training_set)
    version = registry.save(result, code_version(), decision)
    write_evidence(session, registry, version)
    _export_champion(registry, session.settings)
    return Trained(version, result, decision)


def write_evidence(session: WarehouseSession, registry: ModelRegistry, version: str) -> None:
    """The registry's account of a version, and of all versions, as tables."""
    evidence = registry.evidence(version)
    tables = ((MODEL_METRICS, "metrics"), (FEATURE_IMPORTANCE, "importance"), (CALIBRATION, "calibration"))
    for table, name in tables:
        replace_rows(session, table, evidence[name], "model_version = $version", {"version": version})
    replace_rows(session, MODEL_VERSIONS, registry.versions())


def _export_champion(registry: ModelRegistry, settings: Settings) -> None:
    champion = registry.champion_version()
    if champion is not None:
        registry.export(champion, settings.models_dir / EXPORT_FILE)


def _renew_export(settings: Settings) -> None:
    """Write the export anew where it is of the layout before, which code that has moved since cannot read."""
    registry = registry_of(settings)
    if registry is not None and is_export(settings.models_dir / EXPORT_FILE):
        _export_champion(registry, settings)


@lru_cache(maxsize=1)
def code_version() -> str:
    """Of the package, and of the modules that make models: the same version, the same code.

    Raises ModuleNotFoundError where one of them is not where MODEL_CODE says.
    """
    from importlib.metadata import PackageNotFoundError, version

    digest = hashlib.sha256(b"".join(_source(name) for name in MODEL_CODE)).hexdigest()
    try:
        release = version("feature-quality")
    except PackageNotFoundError:
        release = "unreleased"
    return f"{release}+{digest[:10]}"


def _source(module: str) -> bytes:
    """The source text of a module, which is not imported for it."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{module} makes models and is gone: write in MODEL_CODE where it is now")
    return Path(spec.origin).read_bytes()


def build_scores(session: WarehouseSession, progress: Progress) -> pd.DataFrame:
    """Score the days since the last scored one, that one included as more of it may have come; the rows written.

    Rows of earlier days and of other versions are never touched. A day is left out that the model was trained on with
    its outcome in sight.
    """
    from quality_assets.domain.risk import score_risk

    rows = read_frame(
        session,
        f"select * from {RISK_TRAINING_SET.qualified_name} where event_date >= coalesce((select max(event_date) from"
        f" {RISK_SCORES.qualified_name}), (select max(event_date) from {RISK_TRAINING_SET.qualified_name}))"
        " order by event_date, feature",
    )
    if not len(rows):
        return pd.DataFrame(columns=list(RISK_SCORES.column_names))
    loaded = load_champion(session.settings)
    if loaded.model is not None:
        unseen = pd.Timestamp(loaded.model.trained_through - timedelta(days=loaded.model.horizon_days))
        rows = rows[pd.to_datetime(rows["event_date"]) > unseen].reset_index(drop=True)
        _renew_export(session.settings)
    progress(f"scoring {len(rows):,} feature-days by model {loaded.version}")
    scores = score_risk(loaded.model, rows, loaded.version, why_no_model=loaded.why)
    since = {"version": loaded.version, "since": rows["event_date"].min() if len(rows) else date.max}
    replace_rows(session, RISK_SCORES, scores, "model_version = $version and event_date >= $since", since)
    return scores


def build_ledger(session: WarehouseSession) -> pd.DataFrame:
    """Replace ml.score_ledger: every score beside what happened, as far as that is known; the rows written."""
    from quality_assets.domain.risk import grade_scores

    scores = read_frame(
        session, f"select * from {RISK_SCORES.qualified_name} order by event_date, feature, model_version"
    )
    labels = read_frame(session, f"select * from {DEGRADATION_LABELS.qualified_name}")
    ledger = grade_scores(scores, labels) if len(scores) else pd.DataFrame(columns=list(SCORE_LEDGER.column_names))
    replace_rows(session, SCORE_LEDGER, ledger)
    return ledger


def effects_on_predictions(session: WarehouseSession) -> dict[str, float]:
    """How far the champion's score moves when an input alone takes its distribution of the last week; by input."""
    from quality_assets.domain.drift import effects_on_predictions as effects
    from quality_assets.domain.risk_models import input_matrix
    from quality_assets.warehouse.drift_tables import EFFECT_ROWS, inputs_of_late

    model = load_champion(session.settings).model
    target = model.any if model is not None else None
    if target is None:
        return {}

    def predict(rows: pd.DataFrame) -> Any:
        return target.probability(input_matrix(rows), rows["feature"].to_numpy())

    reference, current = inputs_of_late(session)
    return effects(reference, current, INPUT_NAMES, predict, most_rows=EFFECT_ROWS)


def differing_inputs(session: WarehouseSession, day: date) -> tuple[int, list[str]]:
    """How many stored inputs of `day` differ from those recomputed from a warehouse cut at that day, and examples."""
    again = labels_and_inputs(session.connection, day).training_set
    again = again[pd.to_datetime(again["event_date"]) == pd.Timestamp(day)].set_index("feature").sort_index()
    stored = read_frame(
        session, f"select * from {RISK_TRAINING_SET.qualified_name} where event_date = $day", {"day": day}
    )
    stored = stored.set_index("feature").sort_index()
    if list(stored.index) != list(again.index):
        return len(set(stored.index) ^ set(again.index)) or 1, [f"{day}: not the same features"]
    names = [*INPUT_NAMES, "usual_users"]
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
    from quality_assets.domain.risk import score_risk

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
    again = labels_and_inputs(session.connection, day.date()).training_set
    again = again[pd.to_datetime(again["event_date"]) == day]
    scores = score_risk(loaded.model, again, loaded.version).set_index("feature")["risk_probability"]
    both = stored.set_index("feature")["risk_probability"].to_frame("stored").join(scores.rename("again"), how="outer")
    same = np.isclose(both["stored"], both["again"], rtol=1e-6, atol=1e-9, equal_nan=True)
    wrong = both[~same]
    examples = [f"{name}: {row['stored']:.4f}, then {row['again']:.4f}" for name, row in wrong.head(5).iterrows()]
    return len(wrong), examples
