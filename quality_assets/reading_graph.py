"""The part of the graph that reads logs, for a process that does nothing else: all of it takes a second to load.

Its job is the whole graph's to the letter, and so to Dagster the same.
"""

import warnings

import dagster as dg

import quality_assets.defs.raw
from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.dagster_ext.loading import definitions_under
from quality_assets.definitions import with_code_references, with_policies
from quality_assets.defs.checking import subject_checks
from quality_assets.defs.jobs import ingest_logs
from quality_assets.defs.resources import resources
from quality_assets.tables.checks.known import checks_by_subject


def reading_graph() -> dg.Definitions:
    """The job `ingest_logs`, what it makes, and what is asked of that."""
    made = {table.qualified_name for table in PIPELINE.of_stages("arrival")}
    asked = [(subject, checks) for subject, checks in checks_by_subject().items() if subject.name in made]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        mapped = definitions_under(quality_assets.defs.raw).map_asset_specs(func=with_policies)
    read = dg.Definitions(
        assets=with_code_references(mapped.assets or []),
        asset_checks=[subject_checks(*each) for each in asked],
        jobs=[ingest_logs],
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(read, resources())
