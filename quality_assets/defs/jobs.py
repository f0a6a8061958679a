"""The jobs: parts of the graph that are run as one, by hand, by a sensor or by the command line."""

import dagster as dg

from quality_assets.contracts.drift import (
    BASELINE_STATS,
    DATA_DRIFT,
    DRIFT_DISTRIBUTIONS,
    DRIFT_POWER,
    EVENT_SKETCH_COUNTS,
)
from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.incidents import INCIDENTS
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
from quality_assets.contracts.monitoring import RUN_REPORT
from quality_assets.contracts.product import DIM_FEATURE_METADATA, FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS, LOG_FILES
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.tables.models import RISK_MODEL

RETRIES = {"dagster/max_retries": "2", "dagster/retry_strategy": "FROM_FAILURE"}
AFTER_BUILDS = {"dagster/priority": "-1"}
AFTER_SCORING = {"dagster/priority": "-2"}
"""Publication waits in the queue until what was requested before it is built and scored."""

ingest_logs = dg.define_asset_job(
    "ingest_logs",
    selection=dg.AssetSelection.assets(asset_key(RAW_LOGS), asset_key(LOG_FILES)),
    description="Read whatever waits in the landing zone.",
    tags=RETRIES,
)

build_days = dg.define_asset_job(
    "build_days",
    selection=dg.AssetSelection.assets(
        *(
            asset_key(table)
            for table in (
                FEATURE_DESCRIPTIONS,
                VALID_EVENTS,
                QUARANTINED_EVENTS,
                USER_FEATURE_DAYS,
                FACT_FEATURE_METRICS,
                FEATURE_DAILY_TRENDS,
                EVENT_SKETCH_COUNTS,
            )
        )
    ),
    description="Rebuild events, facts, trends and sketches of a range of event dates.",
    tags=RETRIES,
)

build_trends = dg.define_asset_job(
    "build_trends",
    selection=dg.AssetSelection.assets(asset_key(FEATURE_DAILY_TRENDS)),
    description="Rebuild the trends of event dates whose past has changed.",
    tags=RETRIES,
)

score_and_report = dg.define_asset_job(
    "score_and_report",
    selection=dg.AssetSelection.assets(
        *(
            asset_key(table)
            for table in (
                INCIDENTS,
                DEGRADATION_LABELS,
                RISK_TRAINING_SET,
                RISK_SCORES,
                SCORE_LEDGER,
                BASELINE_STATS,
                DATA_DRIFT,
                DRIFT_DISTRIBUTIONS,
                RUN_REPORT,
            )
        )
    ),
    description="Find incidents, score the day's risk, grade past scores, look for drift, and report.",
    tags=AFTER_BUILDS,
)

report_run = dg.define_asset_job(
    "report_run",
    selection=dg.AssetSelection.assets(asset_key(RUN_REPORT)),
    description="Report alone: what is made when scoring has failed, so that somebody hears of it.",
    tags=AFTER_BUILDS,
)

train_risk_model = dg.define_asset_job(
    "train_risk_model",
    selection=dg.AssetSelection.assets(
        *(
            asset_key(table)
            for table in (
                DEGRADATION_LABELS,
                RISK_TRAINING_SET,
                RISK_MODEL,
                MODEL_METRICS,
                FEATURE_IMPORTANCE,
                CALIBRATION,
                MODEL_VERSIONS,
                DRIFT_POWER,
            )
        )
    ),
    description="Train a challenger: it replaces the risk model in use only if it wins on the same later data.",
    tags=AFTER_BUILDS,
)

publish = dg.define_asset_job(
    "publish",
    selection=dg.AssetSelection.assets(asset_key(DIM_FEATURE_METADATA)) | dg.AssetSelection.groups("publish"),
    description="Publish a new snapshot for readers, and the exports, if every blocking check passes.",
    tags=AFTER_SCORING,
)

publish_facts = dg.define_asset_job(
    "publish_facts",
    selection=dg.AssetSelection.assets(
        asset_key(DIM_FEATURE_METADATA),
        *(["publish", name] for name in ("published_snapshot", "feature_metrics_csv", "feature_daily_trends_csv")),
    ),
    description="Publish without what is told of models: their tables, and the files made of them, stay as they were.",
    tags=AFTER_BUILDS,
)
