"""Labels and inputs of models, from facts and from what was known beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.events import QUARANTINED_EVENTS, VALID_EVENTS
from quality_assets.contracts.ml import DEGRADATION_LABELS, RISK_TRAINING_SET
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.contracts.risk_inputs import INPUT_NAMES
from quality_assets.domain.models.risk.inputs import RiskContext, risk_inputs, with_labels
from quality_assets.domain.models.risk.labels import LABEL_FACTS, degradation_labels, states_of
from quality_assets.domain.series.states import Watched
from quality_assets.progress import Progress
from quality_assets.stores.frames import read_frame, replace_rows
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.facts import read_facts
from quality_assets.tables.feature_states import read_watched

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


# A version with less of the day's events than this is a test build or dirt, not a release.
MIN_RELEASE_SHARE = 0.01


# As long as `releases_14d` counts a release as recent.
NEW_VERSION_DAYS = 14


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


def inputs_of(connection: DuckDBPyConnection, day: date, watched: Sequence[Watched] | None = None) -> pd.DataFrame:
    """Inputs of one day, of a warehouse cut at its end, from the stored states unless others are given."""
    watched = read_watched(connection, day) if watched is None else watched
    states = states_of(read_facts(connection, LABEL_FACTS, day), watched, through=day)
    return risk_inputs(states, risk_context(connection, day), first_date=day)


def build_labels_and_inputs(session: WarehouseSession, progress: Progress) -> LabelsAndInputs:
    """Replace ml.degradation_labels and ml.risk_training_set by what the facts say now; the rows written."""
    connection = session.connection
    states = states_of(read_facts(connection, LABEL_FACTS), read_watched(connection))
    labels = degradation_labels(states)
    made = LabelsAndInputs(labels, with_labels(risk_inputs(states, risk_context(connection)), labels))
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


CURRENT_DAYS = 7


# Enough to rank inputs by, and cheap: each input costs one scoring of so many rows.
EFFECT_ROWS = 300


def recent_inputs(session: WarehouseSession) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Model inputs of the last week, and of the eight weeks before it: what effects on predictions compare."""
    columns = ", ".join(("event_date", "feature", RISK_TRAINING_SET.select_list(INPUT_NAMES)))
    rows = read_frame(
        session,
        f"select {columns} from {RISK_TRAINING_SET.qualified_name} where has_baseline and event_date >"
        f" (select max(event_date) from {RISK_TRAINING_SET.qualified_name}) - {CURRENT_DAYS + 56}"
        " order by event_date, feature",
    )
    if not len(rows):
        return rows, rows
    day = pd.to_datetime(rows["event_date"])
    is_current = day > day.max() - pd.Timedelta(days=CURRENT_DAYS)
    return rows[~is_current].reset_index(drop=True), rows[is_current].reset_index(drop=True)
