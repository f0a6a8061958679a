"""What the web server does beside answering: it tells what is due, and watches the house where no daemon does."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from quality_assets.settings import Settings
from quality_assets.tables.faults import settle_failed_runs
from quality_assets.tables.house import watch
from quality_assets.tables.shadow_watch import watch_shadows
from quality_assets.tables.telling import tell

log = logging.getLogger(__name__)

TELL_EVERY_S = 10.0
_WATCH_EVERY = 6


def look(settings: Settings, *, also_watch: bool = True) -> None:
    """Look once: at the house, and at what has to be told. What fails is logged, and looked at again next time."""
    try:
        if also_watch:
            watch(settings)
            settle_failed_runs(settings)
            watch_shadows(settings)
        tell(settings)
    except Exception:
        log.exception("nobody was told: looking at the house failed")


async def keep_looking(settings: Settings) -> None:
    """Look again and again, until it is cancelled; in a thread, since a mail server may take its time."""
    turn = 0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            await asyncio.to_thread(look, settings, also_watch=turn % _WATCH_EVERY == 0)
            turn += 1
