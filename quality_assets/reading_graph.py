"""The part of the graph that reads logs, for a process that does nothing else: all of it takes a second to load.

Its job is the whole graph's to the letter, and so to Dagster the same.
"""

import warnings
from functools import lru_cache

import dagster as dg

from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.definitions import with_code_references, with_policies
from quality_assets.defs.checking import subject_checks
from quality_assets.defs.jobs import ingest_logs
from quality_assets.defs.resources import resources
from quality_assets.tables.checks.known import checks_by_subject


@lru_cache(maxsize=1)
def reading_graph() -> dg.Definitions:
    """The job `ingest_logs`, what it makes, and what is asked of that."""
    made = {table.qualified_name for table in PIPELINE.of_stages("arrival")}
    asked = [(subject, checks) for subject, checks in checks_by_subject().items() if subject.name in made]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        # Here, because importing assets is what Dagster warns of.
        from quality_assets.defs.raw import assets

        mapped = dg.load_definitions_from_modules([assets]).map_asset_specs(func=with_policies)
        checks = [subject_checks(*each) for each in asked]
    read = dg.Definitions(
        assets=with_code_references(mapped.assets or []),
        asset_checks=checks,
        jobs=[ingest_logs],
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(read, resources())
