"""What assets tell the UI about a run: rows per partition, totals, a small trend. Defines no asset."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

import dagster as dg
import duckdb

from quality_assets.clock import utc_now
from quality_assets.contracts.table import Table
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.defs.resources import WarehouseResource
from quality_assets.domain.escaping import markdown_text
from quality_assets.domain.quality.check import Subject
from quality_assets.progress import Progress, report
from quality_assets.stores.failures import record_failure, record_success
from quality_assets.stores.run_log import RunStep, append_step
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.staleness import await_audit, data_fingerprint, dates_not_over, record_asset_run

DATA_FINGERPRINT = "data_fingerprint"
"""Metadata: of which data, by `staleness.data_fingerprint`, something was made."""

MAX_REPORTED_DAYS = 400
"""Beyond so many partitions a run reports totals only: each one costs a write to Dagster's storage."""


def date_range(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """First and last event date of the run, both inclusive."""
    keys = context.partition_key_range
    return date.fromisoformat(keys.start), date.fromisoformat(keys.end)


@dataclass
class Building:
    """Tables in the making: the open warehouse, and how many rows were written to each."""

    session: WarehouseSession
    row_counts: dict[str, int] = field(default_factory=dict)

    def wrote(self, table: Table, rows: int) -> None:
        """Tell how many rows were written to `table`."""
        self.row_counts[table.qualified_name] = rows

    def data_fingerprint(self) -> str:
        """Of which data it was made, once it is: asked only where it is told, since it is of every date there is."""
        return data_fingerprint(self.session.connection)


@dataclass
class Publishing:
    """Something for readers in the making, and how many rows it has, once that is known."""

    row_count: int | None = None


@contextmanager
def building(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, *what: Table | Subject
) -> Iterator[Building]:
    """Open the warehouse for making `what`, and keep in ops.asset_runs how that went and how long it took."""
    started_at = utc_now()
    with warehouse.open() as session:
        made = Building(session)
        status, cause = "failed", ""
        for table in what:
            if isinstance(table, Table):
                await_audit(session.connection, table, *_audited_range(context))
        try:
            yield made
            status = "succeeded"
        except BaseException as error:
            cause = cause_of(error)
            raise
        finally:
            for each in what:
                name = each.qualified_name if isinstance(each, Table) else each.name
                _record_outcome(context, warehouse, name, cause)
                record_asset_run(
                    session.connection,
                    asset=name,
                    run_id=context.run.run_id,
                    partition_key=_partition_text(context),
                    started_at=started_at,
                    finished_at=utc_now(),
                    row_count=made.row_counts.get(name),
                    status=status,
                )
                _log_step(context, warehouse, name, made.row_counts.get(name), started_at, cause)


def build_by_date(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    table: Table,
    build: Callable[[WarehouseSession, date, date, Progress], Mapping[date, int]],
) -> None:
    """Make the partitions of `table` that the run asks for by `build`, which gives the rows written per date."""
    with building(context, warehouse, table) as made:
        rows = build(made.session, *date_range(context), report)
        made.wrote(table, sum(rows.values()))
        fingerprint = made.data_fingerprint()
    report_partitions(context, table, rows, fingerprint)


def build_stale(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    tables: Sequence[Table],
    build: Callable[[WarehouseSession, Progress], Mapping[date, int]],
) -> None:
    """Bring `tables`, which are made as one, up to date by `build`, which gives the rows written of the first."""
    with building(context, warehouse, *tables) as made:
        rows = build(made.session, report)
        made.wrote(tables[0], sum(rows.values()))
        fingerprint = made.data_fingerprint()
    said: dict[str, object] = {
        "rows_in_run": sum(rows.values()),
        "dates_in_run": len(rows),
        DATA_FINGERPRINT: fingerprint,
    }
    if len(rows) > 1:
        said["rows_by_date"] = dg.MetadataValue.md(sparkline([rows[day] for day in sorted(rows)]))
    for table in tables:
        context.add_asset_metadata(said, asset_key=asset_key(table))


@contextmanager
def publishing(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[Publishing]:
    """As `building`, for what is made of the closed warehouse or of a snapshot, and is no table."""
    started_at = utc_now()
    made = Publishing()
    status, cause = "failed", ""
    try:
        yield made
        status = "succeeded"
    except BaseException as error:
        cause = cause_of(error)
        raise
    finally:
        _record_outcome(context, warehouse, ".".join(context.asset_key.path), cause)
        with warehouse.open() as session:
            record_asset_run(
                session.connection,
                asset=".".join(context.asset_key.path),
                run_id=context.run.run_id,
                partition_key="",
                started_at=started_at,
                finished_at=utc_now(),
                row_count=made.row_count,
                status=status,
            )
        _log_step(context, warehouse, ".".join(context.asset_key.path), made.row_count, started_at, cause)


def cause_of(error: BaseException) -> str:
    """What an error says, in its own words; what has none is named."""
    if isinstance(error, (KeyboardInterrupt, dg.DagsterExecutionInterruptedError, duckdb.InterruptException)):
        return (
            "it was ended before it was done, by Ctrl-C or from the Dagster UI; `quality run`, or the same run anew,"
            " makes what is missing"
        )
    said = error.description if isinstance(error, dg.Failure) else str(error)
    return said or type(error).__name__


def _record_outcome(context: dg.AssetExecutionContext, warehouse: WarehouseResource, asset: str, cause: str) -> None:
    """Tell everybody, the pages of a snapshot that is older included, that `asset` fails, or does no more."""
    folder = warehouse.settings.published_dir
    dates = date_range(context) if _is_partitioned(context) else None
    if cause:
        record_failure(folder, asset, dates, run_id=context.run.run_id, cause=cause, failed_at=utc_now())
    else:
        record_success(folder, asset, dates)


def _log_step(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    what: str,
    rows: int | None,
    started_at: datetime,
    cause: str,
) -> None:
    step = RunStep(
        run_id=context.run.run_id,
        job=context.run.job_name,
        kind="asset",
        what=what,
        dates=date_range(context) if _is_partitioned(context) else None,
        rows=rows,
        started_at=started_at,
        finished_at=utc_now(),
        outcome="failed" if cause else "succeeded",
        cause=cause,
    )
    append_step(warehouse.settings.logs_dir, step)


def refuse_waiting(session: WarehouseSession, start: date, end: date) -> None:
    """Fail, with a sentence, where a date was asked for that was read and is not over (docs/adr/0007)."""
    waiting = {day: why for day, why in dates_not_over(session.connection).items() if start <= day <= end}
    if waiting:
        named = "; ".join(f"{day} {why}" for day, why in waiting.items())
        raise dg.Failure(
            f"Nothing was built, and nothing is amiss: {named}. It is built by itself once it is over."
            + (f" Ask for the dates before {min(waiting)} alone." if start < min(waiting) else ""),
            allow_retries=False,
        )


def _is_partitioned(context: dg.AssetExecutionContext) -> bool:
    # A run of dates builds assets without dates too.
    is_of_dates = context.has_partition_key or context.has_partition_key_range
    return is_of_dates and context.assets_def.partitions_def is not None


def _audited_range(context: dg.AssetExecutionContext) -> tuple[date, date]:
    return date_range(context) if _is_partitioned(context) else (date.min, date.min)


def _partition_text(context: dg.AssetExecutionContext) -> str:
    if not _is_partitioned(context):
        return ""
    start, end = date_range(context)
    return start.isoformat() if start == end else f"{start.isoformat()}...{end.isoformat()}"


def report_partitions(
    context: dg.AssetExecutionContext, table: Table, rows: Mapping[date, int], fingerprint: str
) -> None:
    """Rows per partition, also when the run covers a range, the total with its trend, and of which data it all is."""
    key = asset_key(table)
    start, end = date_range(context)
    total: dict[str, object] = {
        "rows_in_run": sum(rows.values()),
        "dates_with_rows": sum(n > 0 for n in rows.values()),
        DATA_FINGERPRINT: fingerprint,
    }
    if len(rows) > 1:
        total["rows_by_date"] = dg.MetadataValue.md(sparkline([rows[day] for day in sorted(rows)]))
    context.add_asset_metadata(total, asset_key=key)
    for day, count in list(rows.items())[-MAX_REPORTED_DAYS:]:
        if start <= day <= end:
            context.add_asset_metadata(
                {"dagster/partition_row_count": count}, asset_key=key, partition_key=day.isoformat()
            )


def listed(texts: Iterable[str], otherwise: str = "None.") -> dg.MarkdownMetadataValue:
    """Texts, which may hold anything that data hold, as a list; `otherwise` where there are none."""
    return dg.MetadataValue.md("\n".join(f"- {markdown_text(text)}" for text in texts) or otherwise)


def sparkline(values: Sequence[float]) -> str:
    """A line as a Markdown image, small enough for the UI to show it without a click (under 1,000 characters).

    The picture is in its address: Dagster takes inline SVG out.
    """
    width, height = 160, 32
    points = _thin(values, 40)
    low, high = min(points), max(points)
    span = (high - low) or 1
    step = width / max(len(points) - 1, 1)
    path = " ".join(f"{i * step:.0f},{height - 2 - (v - low) / span * (height - 4):.0f}" for i, v in enumerate(points))
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<polyline points="{path}" fill="none" stroke="#4f5bd5" stroke-width="1.5"/></svg>'
    )
    return f"![from {low:,g} to {high:,g}](data:image/svg+xml;base64,{b64encode(picture.encode()).decode()})"


def _thin(values: Sequence[float], most: int) -> list[float]:
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
