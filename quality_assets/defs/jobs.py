"""The jobs: parts of the graph that are run as one, by hand, by a sensor or by the command line."""

import dagster as dg

from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.product import DIM_FEATURE_METADATA, FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS, LOG_FILES
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.defs.partitions import event_dates

RETRIES = {"dagster/max_retries": "2", "dagster/retry_strategy": "FROM_FAILURE"}
AFTER_BUILDS = {"dagster/priority": "-1"}
"""Publication waits in the queue until what was requested before it is built."""

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
    partitions_def=event_dates,
    description="Rebuild events, facts, trends and sketches of a range of event dates.",
    tags=RETRIES,
)

build_trends = dg.define_asset_job(
    "build_trends",
    selection=dg.AssetSelection.assets(asset_key(FEATURE_DAILY_TRENDS)),
    partitions_def=event_dates,
    description="Rebuild the trends of event dates whose past has changed.",
    tags=RETRIES,
)

publish = dg.define_asset_job(
    "publish",
    selection=dg.AssetSelection.assets(asset_key(DIM_FEATURE_METADATA)) | dg.AssetSelection.groups("publish"),
    description="Publish a new snapshot for readers, and the exports, if every blocking check passes.",
    tags=AFTER_BUILDS,
)
