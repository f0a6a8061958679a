"""What arrives: raw logs and their ledger, and the descriptions of features that people keep by hand."""

from collections.abc import Iterator

import dagster as dg
import pandas as pd
from pydantic import Field

from quality_assets.contracts.events import RAW_LOGS
from quality_assets.contracts.live import COLLECTED_BATCHES
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS, LOG_FILES
from quality_assets.contracts.sources.events import load_sources
from quality_assets.defs.contract_metadata import asset_arguments, asset_key, asset_spec, run_arguments
from quality_assets.defs.reporting import building, listed
from quality_assets.defs.resources import WarehouseResource
from quality_assets.domain.escaping import terminal_text
from quality_assets.domain.features.descriptions import FeatureDescriptionsError
from quality_assets.progress import report
from quality_assets.stores.frames import read_frame
from quality_assets.tables.descriptions import refresh_descriptions
from quality_assets.tables.ingest import IngestReport, ingest
from quality_assets.tables.live import build_collected_batches
from quality_assets.tables.staleness import dates_not_over, days_to_build


class IngestConfig(dg.Config):
    """What an ingestion may be told."""

    source_names: dict[str, str] = Field(
        default_factory=dict, description="Which source a landing file is of, where somebody named one"
    )
    asked: list[str] = Field(
        default_factory=list, description="Landing files to read again if they were rejected before"
    )


@dg.multi_asset(
    name="raw_logs",
    specs=[asset_spec(RAW_LOGS, "parquet"), asset_spec(LOG_FILES)],
    **run_arguments(RAW_LOGS),
)
def raw_logs(
    context: dg.AssetExecutionContext, config: IngestConfig, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult]:
    """Every waiting file of the landing zone, read once and split by event date, with its entry in the ledger."""
    settings = warehouse.settings
    sources = load_sources(settings.source_folders, settings.earliest_date)
    with building(context, warehouse, RAW_LOGS, LOG_FILES) as made:
        session = made.session
        arrived = ingest(session, sources, report, config.source_names, config.asked)
        made.wrote(RAW_LOGS, arrived.row_count)
        made.wrote(LOG_FILES, len(arrived.loaded) + len(arrived.rejected))
        # Days that an earlier, interrupted run left unbuilt are as much to be built as those touched just now.
        waiting = days_to_build(session.connection)
        to_build = {*arrived.touched_dates, *waiting} - dates_not_over(session.connection).keys()
        known = session.connection.execute("select count(*), coalesce(sum(rows), 0) from raw.log_files").fetchone()
    assert known is not None  # an aggregate without GROUP BY has one row
    yield dg.MaterializeResult(
        metadata={
            "rows_read": arrived.row_count,
            "dates_touched": len(arrived.touched_dates),
            "touched_dates": [day.isoformat() for day in sorted(to_build)],
            "loads": sorted(arrived.load_ids),
        },
        asset_key=asset_key(RAW_LOGS),
    )
    yield dg.MaterializeResult(
        metadata={
            "dagster/row_count": known[0],
            "rows_known": int(known[1]),
            "files_loaded": len(arrived.loaded),
            "files_rejected": len(arrived.rejected),
            "files_skipped": len(arrived.skipped),
            "files_waiting": [f"{item.name}: {item.reason}" for item in arrived.ignored],
            "sources_switched_off": list(sources.errors),
            "what_came_in": listed(_what_came_in(arrived), "Nothing new."),
        },
        asset_key=asset_key(LOG_FILES),
    )


def _what_came_in(report: IngestReport) -> list[str]:
    lines = [f"{name}: rejected, {reason}" for name, reason in report.rejected]
    lines += [f"{name}: {staged.rows:,} rows of {staged.source}" for name, staged in report.loaded]
    lines += [f"{item.name}: skipped, {item.reason}" for item in (*report.skipped, *report.ignored)]
    return lines[:20] + ([f"… and {len(lines) - 20} more"] if len(lines) > 20 else [])


@dg.asset(**asset_arguments(FEATURE_DESCRIPTIONS, "pandas", "csv"))
def feature_descriptions(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> pd.DataFrame:
    """What people wrote about each feature in feature_metadata.csv: owner, team, lifecycle, objectives.

    Of a file that is wrong nothing is taken, and a check tells of it: facts do not wait for who mends it.
    """
    with building(context, warehouse, FEATURE_DESCRIPTIONS) as made:
        try:
            refresh_descriptions(made.session)
        except FeatureDescriptionsError as error:
            context.log.warning(terminal_text(str(error)))
        descriptions = read_frame(made.session, f"select * from {FEATURE_DESCRIPTIONS.qualified_name}")
        made.wrote(FEATURE_DESCRIPTIONS, len(descriptions))
    return descriptions


@dg.asset(**asset_arguments(COLLECTED_BATCHES, "sqlite"))
def collected_batches(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Every file that the collector has landed: how many events it put into it, and how many were read of it."""
    with building(context, warehouse, COLLECTED_BATCHES) as made:
        rows = build_collected_batches(made.session)
        made.wrote(COLLECTED_BATCHES, rows)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})
