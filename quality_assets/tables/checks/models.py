"""The checks of models and their inputs that take a computation: recomputed from a cut warehouse, leak canaries.

Checks that are queries are in `domain/quality/model_checks.py`.
"""

from __future__ import annotations

from datetime import date
from math import isnan
from statistics import fmean

from quality_assets.contracts.ml import RISK_SCORES, RISK_TRAINING_SET
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.quality.check import Answer, Check, subject_of
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables import models as risk_tables
from quality_assets.tables.champion import NO_VERSION, load_champion
from quality_assets.tables.model_inputs import read_training_set
from quality_assets.tables.models import RISK_MODEL
from quality_assets.tables.past_inputs import differing_past_inputs, past_day

# Permuted labels score like the base rate; with few positives the PR-AUC of pure chance lies above it.
_MAX_PERMUTED_LIFT = 1.5
_MIN_PERMUTED_POSITIVES, _AMPLE_POSITIVES = 100, 500


def _training_days(session: WarehouseSession) -> list[date]:
    return [
        row[0]
        for row in session.connection.execute(
            f"select distinct event_date from {RISK_TRAINING_SET.qualified_name} order by 1"
        ).fetchall()
    ]


def point_in_time(session: WarehouseSession) -> Answer:
    """Two days recomputed from a warehouse cut at each: the last, and a past one where anything of it has changed."""
    days = _training_days(session)
    if not days:
        return Answer(None, why="there are no rows yet.")
    count, examples = risk_tables.differing_last_inputs(session, days[-1])
    past = past_day(days)
    if past != days[-1]:
        differing, found = differing_past_inputs(session, past)
        count, examples = count + differing, [*found, *examples]
    return Answer(count == 0, float(count), 0.0, count, examples[:5])


def no_input_knows_the_label(session: WarehouseSession) -> Answer:
    """Inputs that tell which rows of the same state change, with the evidence; training leaves them out."""
    from quality_assets.domain.models.leaks import can_show_a_leak, suspected_leaks

    rows = read_training_set(session)
    if not can_show_a_leak(FEATURE_RISK, rows):
        return Answer(None, why="degraded and healthy days of too few features are known to tell a leak from chance.")
    leaks = suspected_leaks(FEATURE_RISK, rows)
    return Answer(not leaks, float(len(leaks)), 0.0, len(leaks), [leak.sentence for leak in leaks[:5]])


def model_loads(session: WarehouseSession) -> Answer:
    """Whether the champion's file is there, is the one that was saved, and was made for the present inputs."""
    loaded = load_champion(session.settings)
    if loaded.model is not None:
        return Answer(True)
    if loaded.version == NO_VERSION and "yet" in loaded.why:
        return Answer(None, why=f"{loaded.why}.")
    return Answer(False, unexpected_count=1, examples=[loaded.why])


def permuted_labels_score_like_chance(session: WarehouseSession) -> Answer:
    """A forest that learns permuted labels must be worth nothing: otherwise rows leak between training and test."""
    from dataclasses import replace

    from quality_assets.domain.models.training import permuted_label_lift

    rows = read_training_set(session)
    positives = int(rows["label_any"].sum())
    if positives < _MIN_PERMUTED_POSITIVES:
        return Answer(None, why=f"{positives} degraded feature-days are too few to tell chance from a leak.")
    # With few of them one permutation is luck.
    seeds = range(1 if positives >= _AMPLE_POSITIVES else 4)
    lifts = [
        permuted_label_lift(FEATURE_RISK, rows, replace(FEATURE_RISK.settings, forest_trees=50, seed=seed))
        for seed in seeds
    ]
    lift = fmean(lifts)
    if isnan(lift):
        return Answer(None, why="too few days to compare on.")
    return Answer(lift <= _MAX_PERMUTED_LIFT, lift, _MAX_PERMUTED_LIFT, int(lift > _MAX_PERMUTED_LIFT))


def scores_reproducible(session: WarehouseSession) -> Answer:
    """The last day's scores recomputed from the state as of its end."""
    count, examples = risk_tables.differing_scores(session)
    if count is None:
        return Answer(None, why="there is no model, or it has scored nothing.")
    return Answer(count == 0, float(count), 0.0, count, examples)


TRAINING_SET_CHECKS = (
    Check(
        subject_of(RISK_TRAINING_SET),
        "point_in_time",
        "Are the inputs of a day what a warehouse cut at that day gives?",
        "accuracy",
        answer=point_in_time,
        is_blocking=True,
        finding="{observed} came out otherwise than known at the end of their day",
        unit="input",
    ),
    Check(
        subject_of(RISK_TRAINING_SET),
        "no_input_knows_the_label",
        "Does no input tell which healthy features degrade, or which recover, as nothing known that day could?",
        "accuracy",
        answer=no_input_knows_the_label,
        severity="WARN",
        finding="A leak is suspected in {observed}, and the models do not learn from it",
        unit="input",
        remedy="See where it knows that from, and take it out of the inputs until that is clear.",
    ),
)
MODEL_CHECKS = (
    Check(
        RISK_MODEL,
        "permuted_labels_score_like_chance",
        "Is a model that learns permuted labels worth no more than chance?",
        "accuracy",
        answer=permuted_labels_score_like_chance,
        finding="A model of shuffled labels reaches {observed} times the base rate, more than {threshold}",
        unit="",
        remedy="Rows leak between training and test: do not use the scores before that is found.",
    ),
)
SCORE_CHECKS = (
    Check(
        subject_of(RISK_SCORES),
        "model_loads",
        "Can the model in use be loaded, and is it the one that was saved?",
        "validity",
        answer=model_loads,
        finding="The model in use cannot be loaded",
        remedy="Run `quality run`, which trains a new one, or materialize ml.risk_model again in Dagster.",
    ),
    Check(
        subject_of(RISK_SCORES),
        "scores_reproducible",
        "Are the last day's scores what a warehouse cut at that day gives?",
        "accuracy",
        answer=scores_reproducible,
        finding="{observed} of the last day come out otherwise when recomputed",
        unit="score",
    ),
)
COMPUTED_CHECKS = (*TRAINING_SET_CHECKS, *MODEL_CHECKS, *SCORE_CHECKS)
