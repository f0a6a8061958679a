"""Scores of days before there was a model: filled in once, and never again while the days are there."""

from __future__ import annotations

import hashlib
from datetime import date

from quality_assets.contracts.ml import DEGRADATION_LABELS, MODEL_VERSIONS, RISK_SCORES, RISK_TRAINING_SET
from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.progress import Progress
from quality_assets.stores.frames import replace_rows
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.champion import load_champion
from quality_assets.tables.model_inputs import read_training_set


def backfill_scores(session: WarehouseSession, progress: Progress) -> int:
    """Score the days of ml.risk_training_set that no model has scored, each by a model of its time; rows written.

    A day that has its scores costs a query that finds it has. Without a model in use nothing is filled in: there is no
    estimator that anyone would trust.
    """
    version = backfill_version()
    days = _unscored_days(session, version)
    model = load_champion(session.settings).model if days else None
    target = model.targets.get(FEATURE_RISK.main_target.name) if model is not None else None
    if target is None:
        return 0
    # What learns takes seconds to import.
    from quality_assets.domain.models.leaks import without_leaks
    from quality_assets.domain.models.risk.history import backfilled_scores

    progress(f"scoring {len(days):,} days of the past")
    rows = read_training_set(session)
    use_case, _ = without_leaks(FEATURE_RISK, rows)
    scores = backfilled_scores(rows, target.name, days, version, use_case=use_case)
    return replace_rows(
        session,
        RISK_SCORES,
        scores,
        "is_backfilled and (model_version <> $version or list_contains($days, event_date))",
        {"version": version, "days": days},
    )


def is_backfill_due(session: WarehouseSession) -> bool:
    """Whether there are days that no model has scored, and a model whose kind could have."""
    champions = session.connection.execute(
        f"select 1 from {MODEL_VERSIONS.qualified_name} where alias = 'champion' and champion_model <> 'none'"
    ).fetchall()
    return bool(champions) and bool(_unscored_days(session, backfill_version()))


def backfill_version() -> str:
    """What stands as model_version of scores that are filled in: of other inputs or labels it is another.

    It sorts after `none` and before every number, so that the newest score of a day is the one that was said of it.
    """
    rules = f"{FEATURE_RISK.inputs_fingerprint} {PIPELINE.build(DEGRADATION_LABELS).version}"
    return f"rolling-{hashlib.sha256(rules.encode()).hexdigest()[:8]}"


def _unscored_days(session: WarehouseSession, version: str) -> list[date]:
    """The days of the training set of which there is neither a score that was said nor one that was filled in."""
    rows = session.connection.execute(
        f"select distinct event_date from {RISK_TRAINING_SET.qualified_name} where event_date not in ("
        f" select event_date from {RISK_SCORES.qualified_name} where model_version = $version"
        " or (risk_probability is not null and not coalesce(is_backfilled, false))) order by 1",
        {"version": version},
    ).fetchall()
    return [row[0] for row in rows]
