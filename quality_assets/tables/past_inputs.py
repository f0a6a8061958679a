"""A day long past, whose model inputs are recomputed from a warehouse cut at it: once while nothing of it changes.

To go over the history before it costs as much as the history is long, and a day's work is of that day.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date, timedelta

import pandas as pd

from quality_assets.contracts.ml import RISK_TRAINING_SET
from quality_assets.stores.files import write_atomically
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.champion import code_version
from quality_assets.tables.feature_states import asked_of, probe_sources, read_described
from quality_assets.tables.model_inputs import risk_context
from quality_assets.tables.models import differing_inputs

FOUND = "point_in_time.json"
"""Beside what was published: of what it was found that all is as it was known. Where it is lost it is found again."""

# Late enough for every input to have its history.
_PAST_AT = 0.7


def past_day(days: Sequence[date]) -> date:
    """The day that is looked at again: the last Monday within the first seven tenths of `days`, which are in order.

    So it is the same one for a week and longer. Where there was no such Monday, the day at seven tenths.
    """
    there = days[: round(_PAST_AT * (len(days) - 1)) + 1]
    monday = there[-1] - timedelta(days=there[-1].weekday())
    return monday if monday in there else there[-1]


def differing_past_inputs(session: WarehouseSession, day: date) -> tuple[int, list[str]]:
    """As `differing_inputs`; without working it out where none differed and nothing of it has changed since."""
    path, fingerprint = session.settings.published_dir / FOUND, _fingerprint(session, day)
    try:
        if json.loads(path.read_text(encoding="utf-8")) == [str(day), fingerprint]:
            return 0, []
    except (OSError, ValueError):
        pass
    count, examples = differing_inputs(session, day)
    if not count:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps([str(day), fingerprint]))
    return count, examples


def _fingerprint(session: WarehouseSession, day: date) -> str:
    """Of what is stored of the day, of all that its inputs are made of as it was known then, and of the code."""
    connection = session.connection
    stored = connection.execute(
        f"select count(*), sum(cast(hash({RISK_TRAINING_SET.select_list()}) as hugeint))"
        f" from {RISK_TRAINING_SET.qualified_name} where event_date = $day",
        {"day": day},
    ).fetchall()
    asked = asked_of(connection, day, read_described(connection, probe_sources(session.settings)))
    context = risk_context(connection, day)
    frames = [context.releases, context.metadata, context.mix, context.quality]
    beside = [None if frame is None else _digest(frame) for frame in frames]
    return hashlib.sha256(repr((stored, asked, beside, code_version())).encode()).hexdigest()


def _digest(frame: pd.DataFrame) -> str:
    """The same columns and rows, in whatever order these are, the same digest."""
    rows = sorted(pd.util.hash_pandas_object(frame, index=False))
    return hashlib.sha256(repr((list(frame.columns), rows)).encode()).hexdigest()
