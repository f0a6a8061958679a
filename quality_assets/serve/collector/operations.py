"""Whether the collector is well, what it counts, what came in today, what it refused."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response

from quality_assets.serve.collector.access import Access
from quality_assets.serve.collector.core import Core
from quality_assets.serve.collector.online import require_reader
from quality_assets.serve.collector.replaying import MappingError, counts_of, parsed_mapping, replay
from quality_assets.serve.collector.today import Today, instant
from quality_assets.stores.live.letters import counts_by_reason, dead_letters

_MOST_SHOWN = 200


def operations_routes(core: Core, access: Access, today: Today) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    _condition_routes(routes, core, access)
    _today_routes(routes, core, access, today)
    _letter_routes(routes, core, access)
    return routes


def _condition_routes(routes: APIRouter, core: Core, access: Access) -> None:
    @routes.get("/health", tags=["operations"])
    async def health(response: Response) -> dict[str, Any]:
        """Whether the collector lives: its processor runs and keeps up."""
        reasons = core.failures()
        response.status_code = 503 if reasons else 200
        return {"status": "failing" if reasons else "ok", "reasons": reasons}

    @routes.get("/healthz", tags=["operations"])
    async def alive(response: Response) -> dict[str, Any]:
        """Whether it goes on by itself: 503 where only a restart would help, and not while a service is away."""
        response.status_code = 200 if core.processor.is_alive else 503
        return {"status": "ok" if core.processor.is_alive else "ended"}

    @routes.get("/ready", tags=["operations"])
    async def ready(response: Response) -> dict[str, Any]:
        """Whether events should be sent now: the log can be written, and there is room."""
        reasons = core.unready()
        response.status_code = 503 if reasons else 200
        return {"status": "not ready" if reasons else "ok", "reasons": reasons}

    @routes.get("/metrics", tags=["operations"])
    async def metrics(request: Request) -> Response:
        """Counters, as Prometheus reads them."""
        require_reader(access, request)
        return Response(
            await asyncio.to_thread(core.measures.text), media_type="text/plain; version=0.0.4; charset=utf-8"
        )


def _today_routes(routes: APIRouter, core: Core, access: Access, today: Today) -> None:
    @routes.get("/live/today", tags=["today"])
    async def live_today(request: Request, day: str | None = None) -> dict[str, Any]:
        """What came in today so far (UTC), by feature: provisional, since what is late will add to it."""
        require_reader(access, request)
        now = datetime.now(UTC)
        found = await asyncio.to_thread(today.day, _day(day) or now.date(), core.store.known_us)
        return {"as_of": now.isoformat(), **found, "landing": await asyncio.to_thread(today.landing)}

    @routes.get("/live/tiles", tags=["today"])
    async def live_tiles(request: Request, day: str | None = None) -> dict[str, Any]:
        """Events of a day by feature and five minutes."""
        require_reader(access, request)
        found = _day(day) or datetime.now(UTC).date()
        return {"date": found.isoformat(), "tiles": await asyncio.to_thread(today.tiles, found)}

    @routes.get("/live/collector", tags=["operations"])
    async def live_collector(request: Request, messages: int = 20, unmasked: bool = False) -> dict[str, Any]:
        """The collector itself: queue, lag, senders, the last messages of each (values masked, or not), landing."""
        require_reader(access, request)
        return {
            **core.condition(),
            "started_at": instant(int(core.condition()["started_at"] * 1e6)),
            "reasons": core.failures() + core.unready(),
            "events": core.measures.events_processed(),
            "topics": core.processor.topics(),
            "sources": await asyncio.to_thread(today.sources),
            "last_messages": await asyncio.to_thread(
                today.last_messages, max(0, min(messages, _MOST_SHOWN)), masked=not unmasked
            ),
            "landing": await asyncio.to_thread(today.landing),
            "dead_letters": await asyncio.to_thread(counts_by_reason, core.settings.live_state),
        }


def _letter_routes(routes: APIRouter, core: Core, access: Access) -> None:
    path = core.settings.live_state

    @routes.get("/live/deadletters", tags=["operations"])
    async def letters(request: Request, reason: str | None = None, unmasked: bool = False) -> list[dict[str, Any]]:
        """The newest refused items, with every reason; what was sent is shown where it is asked for."""
        require_reader(access, request)
        found = await asyncio.to_thread(dead_letters, path, reason=reason, state="waiting", limit=_MOST_SHOWN)
        return [
            {
                "id": letter.id,
                "received_at": instant(letter.received_us),
                "source": letter.source,
                "endpoint": letter.endpoint,
                "reasons": list(letter.reasons),
                "body": json.loads(letter.body) if unmasked else "•••",
                "replays": letter.replays,
            }
            for letter in found
        ]

    @routes.post("/live/deadletters/replay", tags=["operations"])
    async def replay_letters(
        request: Request,
        reason: str | None = None,
        where: str | None = None,
        mapping: Annotated[list[str] | None, Query(alias="map", max_length=20)] = None,
        dry_run: bool = True,
    ) -> dict[str, Any]:
        """Send refused items again, mended where `map` says how (status.success=ok), of those that hold `where`.

        With `dry_run` (the default) it only says what would be accepted.
        """
        require_reader(access, request)
        if request.headers.get("origin") is not None and not request.headers.get("content-type", "").startswith(
            "application/json"
        ):
            raise HTTPException(415, "What is sent must be application/json.")
        try:
            mended = parsed_mapping(mapping or ())
        except MappingError as error:
            raise HTTPException(422, f"map: {error}.") from None
        found = await asyncio.to_thread(
            replay, core.settings, reason=reason, where=where, mapping=mended, dry_run=dry_run
        )
        core.processor.wake()
        return counts_of(found)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise HTTPException(422, "day is a date like 2026-01-31.") from None
