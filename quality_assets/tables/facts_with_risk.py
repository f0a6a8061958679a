"""Facts beside risk and what came of it: a copy for readers, of which only days that changed are written anew."""

from __future__ import annotations

from quality_assets.contracts.facts_with_risk import FEATURE_METRICS_WITH_RISK, OUTCOME_COLUMNS, SCORE_SOURCES
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.ml import DEGRADATION_LABELS, RISK_SCORES
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.staleness import record_built

_NAME = FEATURE_METRICS_WITH_RISK.qualified_name
_BESIDE = (*SCORE_SOURCES, *OUTCOME_COLUMNS, "incident_ahead")

# A later model never rewrites a score: where a day has several, the newest that is known speaks.
_NEWEST = f"""
select event_date, feature, horizon_days, {", ".join(f'"{source}" as {name}' for name, source in SCORE_SOURCES.items())}
from {RISK_SCORES.qualified_name}
qualify row_number() over (
  partition by event_date, feature
  order by risk_probability is null, try_cast(model_version as bigint) desc nulls last, model_version desc) = 1
"""

_SQL = f"""
with scores as ({_NEWEST}),
outcomes as (
  select event_date, feature, horizon_days, {", ".join(OUTCOME_COLUMNS)} from {DEGRADATION_LABELS.qualified_name}
),
ahead as (
  select event_date, feature, arg_min(incident_id, (start_date, incident_id)) as incident_ahead
  from outcomes join (select unnest(coalesce(features, [feature])) as feature, incident_id, start_date
    from {INCIDENTS.qualified_name}) as incidents
    using (feature)
  where start_date > event_date and start_date <= event_date + horizon_days
  group by event_date, feature
)
select facts.event_date, facts.feature, {", ".join(SCORE_SOURCES)}, {", ".join(OUTCOME_COLUMNS)}, incident_ahead
from (select event_date, feature from {FACT_FEATURE_METRICS.qualified_name}) as facts
left join scores using (event_date, feature)
left join (select * exclude (horizon_days) from outcomes) as outcomes using (event_date, feature)
left join ahead using (event_date, feature)
"""


def build_facts_with_risk(session: WarehouseSession) -> int:
    """Bring product.feature_metrics_with_risk up to date: the days whose facts, scores or outcomes changed; its rows.

    A day is known by the fingerprint of its facts and a hash of what stands beside them, over a few narrow columns.
    """
    connection = session.connection
    with session.transaction():
        connection.execute(f"create or replace temp table beside_facts as {_SQL}")
        changed = connection.execute(
            f"""
with wanted as (
  select event_date, count(*) as n, coalesce(any_value(inputs_fingerprint), '') || ' '
    || bit_xor(hash(feature, {", ".join(_BESIDE)})) as fingerprint
  from beside_facts left join (
    select event_date, inputs_fingerprint from {PARTITION_STATE.qualified_name}
    where table_name = '{FACT_FEATURE_METRICS.qualified_name}'
  ) using (event_date)
  group by event_date
)
select event_date, wanted.fingerprint, n
from wanted full join (
  select event_date, inputs_fingerprint as fingerprint from {PARTITION_STATE.qualified_name}
  where table_name = '{_NAME}'
) as built using (event_date)
where wanted.fingerprint is distinct from built.fingerprint
"""
        ).fetchall()
        days = {"days": [row[0] for row in changed]}
        connection.execute(f"delete from {_NAME} where list_contains($days, event_date)", days)
        connection.execute(
            f"delete from {PARTITION_STATE.qualified_name} where table_name = '{_NAME}'"
            " and list_contains($days, event_date)",
            days,
        )
        connection.execute(
            f"insert into {_NAME} by name select facts.*, beside.* exclude (event_date, feature)"
            f" from {FACT_FEATURE_METRICS.qualified_name} as facts join beside_facts as beside"
            " using (event_date, feature) where list_contains($days, event_date)",
            days,
        )
        there = {day: (fingerprint, rows) for day, fingerprint, rows in changed if fingerprint is not None}
        record_built(
            connection,
            FEATURE_METRICS_WITH_RISK,
            {day: fingerprint for day, (fingerprint, _) in there.items()},
            {day: rows for day, (_, rows) in there.items()},
        )
        connection.execute("drop table beside_facts")
    return int(connection.execute(f"select count(*) from {_NAME}").fetchall()[0][0])
