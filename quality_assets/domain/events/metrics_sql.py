"""SQL that computes the metrics of the registry over events: `SELECT keys, METRICS … GROUP BY keys`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from quality_assets.contracts.metrics import LATENCY_QUANTILES, MEASURES, METRICS, Measure, Metric

Engine = Literal["duckdb", "spark"]
_QUANTILES = ", ".join(map(str, LATENCY_QUANTILES))
_QUANTILE_SQL: dict[Engine, str] = {
    "duckdb": f"quantile_cont(latency_ms, [{_QUANTILES}])",
    "spark": f"percentile(latency_ms, array({_QUANTILES}))",
}
_ITEM = re.compile(r"(\w+)\[(\d+)\]")


def spelled(text: str, engine: Engine) -> str:
    """A metric's SQL as an engine spells it: `list[1]`, types and parameters are what differs."""
    if engine == "duckdb":
        return text
    text = _ITEM.sub(r"element_at(\1, \2)", text)
    return re.sub(r"\$(\w+)", r":\1", text).replace(" as varchar)", " as string)")


def metrics_sql(source: str, keys: Sequence[str], metrics: Iterable[Metric] = METRICS) -> str:
    """The query that gives every measure and the given metrics per group.

    `source` is a relation with the event columns and `apdex_threshold_ms`; `keys` are column names or SQL
    expressions with an alias. One row per group, columns: keys, measures, metrics that are not measures themselves.
    Exact quantiles in one call cost less than t-digest in DuckDB, so they are taken together.
    """
    names = [key.rsplit(" as ", 1)[-1] for key in keys]
    measured = _measured_sql(source, keys, MEASURES)
    return f"with measured as ({measured})\n{_derived_sql('measured', names, metrics)}"


def facts_sql(source: str, user_days: str, keys: Sequence[str], engine: Engine = "duckdb") -> str:
    """As `metrics_sql` for keys that are columns of `user_days` too, whose groups are those of `source` by user.

    Users are counted there, and sessions by a grouping of their own: half the cost of counting distinct values.
    """
    names = ", ".join(keys)
    counted = {"users", "crashed_users", "sessions", "crashed_sessions"}
    measured = _measured_sql(source, keys, [measure for measure in MEASURES if measure.name not in counted], engine)
    return f"""
with by_event as ({measured}),
by_user as (
  select {names}, count(*) as users, count(case when crashes > 0 then 1 end) as crashed_users
  from {user_days} group by {names}
),
by_session as (
  select {names}, count(*) as sessions, count(case when has_crashed then 1 end) as crashed_sessions
  from (
    select {names}, session_id, bool_or(status = 'crash') as has_crashed
    from {source} where session_id is not null group by {names}, session_id
  ) group by {names}
),
measured as (
  select * from by_event left join by_user using ({names}) left join by_session using ({names})
)
{_derived_sql("measured", keys, METRICS, engine)}"""


def _measured_sql(source: str, keys: Sequence[str], measures: Iterable[Measure], engine: Engine = "duckdb") -> str:
    """Measures and quantiles per group."""
    columns = ",\n  ".join(f"{spelled(measure.sql, engine)} as {measure.name}" for measure in measures)
    groups = ", ".join(str(i + 1) for i in range(len(keys)))
    return (
        f"\n  select {', '.join(keys)},\n  {columns},\n  {_QUANTILE_SQL[engine]} as latency_quantiles_ms\n"
        f"  from {source}\n  group by {groups}\n"
    )


def _derived_sql(measured: str, names: Sequence[str], metrics: Iterable[Metric], engine: Engine = "duckdb") -> str:
    """Keys, measures, and the metrics that come from them."""
    stored = {measure.name for measure in MEASURES}
    derived = ",\n  ".join(f"{spelled(m.expression, engine)} as {m.name}" for m in metrics if m.name not in stored)
    return f"select {', '.join(names)},\n  {', '.join(m.name for m in MEASURES)},\n  {derived}\nfrom {measured}"
