"""The addresses of events as OpenAPI describes them. `hot.py` answers them; these routes only tell of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from quality_assets.domain.live.segment import TYPES
from quality_assets.serve.collector.bodies import MOST_ITEMS


class Event(BaseModel):
    """One event in the contract's columns; `event_type` is event_name, and `timestamp` event_time."""

    model_config = ConfigDict(extra="allow")

    event_id: str = Field(min_length=1, max_length=255, description="Unique within its sender")
    user_id: str | int | None = Field(None, description="Pseudonymous user")
    event_type: str | None = Field(None, description="What the user did")
    event_name: str | None = Field(None, description="The same, in the contract's word")
    timestamp: str | float | None = Field(None, description="ISO 8601 with an offset, or an epoch; absent: now")
    event_time: str | float | None = Field(None, description="The same, in the contract's word")
    feature: str | None = Field(None, description="The product feature that was used")
    session_id: str | int | None = None
    status: str | None = Field(None, description="ok, error or crash; absent: ok")
    latency_ms: float | None = Field(None, ge=0)
    feedback_score: float | None = Field(None, ge=1, le=5)
    device_type: str | None = None
    platform: str | None = None
    app_version: str | None = None
    country: str | None = None
    variant: str | None = None
    properties: dict[str, Any] | None = None


class EventBatch(BaseModel):
    """Several events."""

    batch: list[Event] = Field(max_length=MOST_ITEMS)


class SegmentBatch(BaseModel):
    """What Segment's SDKs send."""

    model_config = ConfigDict(extra="allow")

    batch: list[dict[str, Any]] = Field(max_length=MOST_ITEMS)


def described_routes() -> APIRouter:
    """Routes that are there for the description, and for what answers other methods (405)."""
    routes = APIRouter(tags=["events"])

    @routes.post("/ingest", responses={422: {"description": "RefusedError, with every reason; kept as a dead letter"}})
    async def ingest(event: Event) -> dict[str, int]:
        """Take one event; it is durable when this answers."""
        raise _answered_before()

    @routes.post("/ingest/batch")
    async def ingest_batch(batch: EventBatch) -> dict[str, Any]:
        """Take several events; what is refused is named, and does not cost the others."""
        raise _answered_before()

    for name in ("batch", "import", "b"):

        @routes.post(f"/v1/{name}", name=f"segment {name}")
        async def segment_batch(batch: SegmentBatch) -> dict[str, bool]:
            """Segment's HTTP API: a batch of calls."""
            raise _answered_before()

    for name in TYPES:

        @routes.post(f"/v1/{name}", name=f"segment {name}")
        async def segment_call(call: dict[str, Any]) -> dict[str, bool]:
            """Segment's HTTP API: one call."""
            raise _answered_before()

    for name in ("logs", "traces"):

        @routes.post(f"/v1/{name}", name=f"otlp {name}")
        async def otlp() -> None:
            """OTLP over HTTP, as protobuf or as JSON."""
            raise _answered_before()

    return routes


def _answered_before() -> RuntimeError:
    return RuntimeError("this address is answered before any route is asked")
