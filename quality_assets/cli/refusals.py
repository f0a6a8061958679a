"""Why rows of logs were refused, in a few lines: what `quality ingest`, `quality reread` and `quality replay` print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from quality_assets.contracts.events import WAYS_ON, Reason
from quality_assets.domain.wording import plural

if TYPE_CHECKING:
    from quality_assets.tables.refusals import Refusals

MOST_REASONS = 5
MOST_CHARACTERS = 120


def refusal_lines(refused: Refusals) -> Iterator[str]:
    """A line a reason, and how to see the rows themselves; nothing where nothing was refused."""
    if not refused.rows:
        return
    copies = f", {refused.copies:,} of them copies of others" if refused.copies else ""
    yield f"{plural(refused.rows, 'row')} refused{copies}:"
    found = refused.reasons
    shown_ones = found[:MOST_REASONS]
    width = max(len(f"{refusal.rows:,}") for refusal in shown_ones)
    for refusal in shown_ones:
        row = refusal.raw_row
        row = row if len(row) <= MOST_CHARACTERS else row[:MOST_CHARACTERS] + "…"
        yield (
            f"  {refusal.rows:>{width},} {refusal.reason} ({WAYS_ON[Reason(refusal.reason)]}),"
            f" first in {refusal.path} line {refusal.line_number}" + (f": {row}" if row else "")
        )
    if len(found) > MOST_REASONS:
        yield "  … and for " + ", ".join(f"{refusal.reason} ({refusal.rows:,})" for refusal in found[MOST_REASONS:])
    yield (
        '  All of them, once `quality run` has built them: quality sql --format json "select path, line_number,'
        " reasons, raw_row from core.quarantined_events join raw.log_files using (file_id)"
        f" where list_contains(reasons, '{found[0].reason}') limit 20\""
    )
