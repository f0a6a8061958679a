"""The jobs: parts of the graph that are run as one, by hand, by a sensor or by the command line."""

from typing import Any

import dagster as dg

from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.contracts.served import PREDICTIONS
from quality_assets.contracts.table import Stage
from quality_assets.contracts.use_cases import INPUT_DRIFT, MODEL_LEAKS, MODEL_PERFORMANCE, MODEL_RELEASES
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.defs.run_tags import BUILD_AND_REPORT, PARTS_OF_THE_CHAIN
from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.tables.checks.learning_checks import (
    evaluation_subject,
    exploration_subject,
    model_subject,
    release_subject,
)
from quality_assets.tables.models import RISK_MODEL

RETRIES = {"dagster/max_retries": "2", "dagster/retry_strategy": "FROM_FAILURE"}
AFTER_BUILDS = {"dagster/priority": "-1"}
AFTER_SCORING = {"dagster/priority": "-2"}
"""Publication waits in the queue until what was requested before it is built and scored."""


def made_in(*stages: Stage) -> dg.AssetSelection:
    """The tables that are made in `stages`."""
    return dg.AssetSelection.assets(*(asset_key(table) for table in PIPELINE.of_stages(*stages)))


ingest_logs = dg.define_asset_job(
    "ingest_logs",
    selection=made_in("arrival"),
    description="Read whatever waits in the landing zone.",
    tags=RETRIES,
)

build_days = dg.define_asset_job(
    "build_days",
    selection=made_in(*PARTS_OF_THE_CHAIN["build_days"]),
    description="Rebuild events, facts, trends and sketches of a range of event dates.",
    tags=RETRIES,
)

build_trends = dg.define_asset_job(
    "build_trends",
    selection=made_in("trends"),
    description="Rebuild the trends of event dates whose past has changed.",
    tags=RETRIES,
)

build_impact = dg.define_asset_job(
    "build_impact",
    selection=made_in(*PARTS_OF_THE_CHAIN["build_impact"]),
    description="Bring sessions, adoption, retention, funnels and segments up to date, as far as they are stale.",
    tags=RETRIES,
)

score_and_report = dg.define_asset_job(
    "score_and_report",
    selection=made_in(*PARTS_OF_THE_CHAIN["score_and_report"]),
    description="Find incidents, score the day's risk, grade past scores, look for drift, and report.",
    tags=AFTER_BUILDS,
)

build_and_report = dg.define_asset_job(
    BUILD_AND_REPORT,
    selection=made_in(*(stage for stages in PARTS_OF_THE_CHAIN.values() for stage in stages)),
    description="Build the newest event dates and all that follows from them, score, and report: as one run.",
    tags=RETRIES,
)

report_run = dg.define_asset_job(
    "report_run",
    selection=made_in("report"),
    description="Report alone: what is made when scoring has failed, so that somebody hears of it.",
    tags=AFTER_BUILDS,
)

train_risk_model = dg.define_asset_job(
    "train_risk_model",
    selection=made_in("model_inputs", "training") | dg.AssetSelection.assets(asset_key(RISK_MODEL)),
    description="Train a challenger: it replaces the risk model in use only if it wins on the same later data.",
    tags=AFTER_BUILDS,
)


def _training_of(use_case: TabularUseCase) -> Any:
    own = (use_case.training_set, use_case.predictions, model_subject(use_case))
    subjects = (evaluation_subject(use_case), release_subject(use_case), exploration_subject(use_case))
    shared = (MODEL_RELEASES, MODEL_LEAKS, MODEL_PERFORMANCE, INPUT_DRIFT)
    return dg.define_asset_job(
        f"train_{use_case.name}",
        selection=dg.AssetSelection.assets(*(asset_key(each) for each in (*own, *subjects, *shared))),
        description=f"Train {use_case.name} on what lies in training/: released only if it beats what is in use.",
        tags=AFTER_BUILDS,
    )


trainings = [_training_of(use_case) for use_case in TABULAR.values()]

watch_models = dg.define_asset_job(
    "watch_models",
    selection=dg.AssetSelection.assets(asset_key(PREDICTIONS)),
    description="Read what models were asked and answered, and look for drift of each that is in use.",
    tags=AFTER_BUILDS,
)

publish = dg.define_asset_job(
    "publish",
    selection=made_in("publication") | dg.AssetSelection.groups("publish"),
    description="Publish a new snapshot for readers, and the exports, if every blocking check passes.",
    tags=AFTER_SCORING,
)

publish_facts = dg.define_asset_job(
    "publish_facts",
    selection=made_in("publication")
    | dg.AssetSelection.assets(
        *(["publish", name] for name in ("published_snapshot", "feature_metrics_csv", "feature_daily_trends_csv"))
    ),
    description="Publish without what is told of models: their tables, and the files made of them, stay as they were.",
    tags=AFTER_BUILDS,
)
