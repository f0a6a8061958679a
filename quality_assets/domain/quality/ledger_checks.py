"""The checks of the ledger of logs: could each be read, and does what took the place of another have all of it?"""

from __future__ import annotations

from quality_assets.contracts.raw import LOG_FILES, WITHOUT_DAYS
from quality_assets.domain.quality.check import Check, subject_of
from quality_assets.domain.quality.check_queries import no_offenders
from quality_assets.domain.sql_text import literal

REJECTED_FILES_SHOWN_DAYS = 7

LEDGER_CHECKS = (
    Check(
        subject_of(LOG_FILES),
        "files_readable",
        "Could every file that lately arrived be read?",
        "validity",
        no_offenders(f"""
select path || ': ' || reason as example from {LOG_FILES.qualified_name}
where status = 'rejected' and arrived_at >= (select max(arrived_at) from {LOG_FILES.qualified_name})
  - interval {REJECTED_FILES_SHOWN_DAYS} days
"""),
        severity="WARN",
        finding="{observed} of the last days could not be read",
        unit="file",
        remedy="Mend the file, or describe its columns in data/sources; then `quality ingest` it again.",
    ),
    Check(
        subject_of(LOG_FILES),
        "corrections_have_all_days",
        "Has every file that lately took the place of another all of its days?",
        "completeness",
        no_offenders(f"""
select path || ': ' || substr(reason, {len(WITHOUT_DAYS) + 2}) as example from {LOG_FILES.qualified_name}
where status = 'superseded' and starts_with(reason, {literal(WITHOUT_DAYS)}) and superseded_by in (
  select file_id from {LOG_FILES.qualified_name} where arrived_at >= (
    select max(arrived_at) from {LOG_FILES.qualified_name}) - interval {REJECTED_FILES_SHOWN_DAYS} days)
"""),
        severity="WARN",
        finding="Rows of whole days went with {observed} that a newer file has taken the place of",
        unit="log",
        remedy="Where a file holds the last days and moves on with them, say `on_repeat: keep` in its source's YAML,"
        " and map `event_id`; put what is missing into landing/ under a name of its own.",
    ),
    Check(
        subject_of(LOG_FILES),
        "changed_sources_read_their_logs",
        "Could every log be read anew that a source with a changed YAML describes?",
        "validity",
        no_offenders(
            f"select path || ': ' || split_part(reason, '; ', 1) as example from {LOG_FILES.qualified_name}"
            " where status = 'loaded' and reason is not null"
        ),
        finding="{observed} stay as they were read before: by what the YAML of their source says now, no row of theirs"
        " would be valid",
        unit="log",
        remedy="Mend the YAML; where that is what it is to say, `quality reread --source NAME`.",
    ),
)
