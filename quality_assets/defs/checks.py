"""Every check of every table, model and file, as Dagster's checks. A check is declared where its question is."""

import dagster as dg

from quality_assets.defs.checking import subject_checks
from quality_assets.tables.checks.known import checks_by_subject


@dg.definitions
def checks() -> dg.Definitions:
    """One op a subject that anything is asked of."""
    return dg.Definitions(asset_checks=[subject_checks(*each) for each in checks_by_subject().items()])
