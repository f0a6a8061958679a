"""What pages do with the collector: refused items are sent again, after a look at what would come of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from quality_assets.read.live import Down, replay
from quality_assets.serve.api.answers import ASKED, EVERYWHERE, problem
from quality_assets.serve.api.problems import StrictRoute
from quality_assets.serve.api.writing import Writer, settings_of
from quality_assets.settings import Settings

_WRITING = (
    problem(401, "The token opens nothing here")
    | problem(403, "The right to write is not shown")
    | problem(415, "What is sent is not JSON")
    | problem(409, "No collector answers, so nothing can be sent again")
)
OfServer = Annotated[Settings, Depends(settings_of)]

collector_api = APIRouter(prefix="/api/v1", responses=EVERYWHERE | ASKED, route_class=StrictRoute)


class ReplayBody(BaseModel):
    """Which refused items are sent again, and how they are mended."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(None, max_length=100, description="Only items with this reason; all that wait if absent")
    mapping: list[str] = Field([], max_length=20, description="field.value=replacement, as status.success=ok")
    dry_run: bool = Field(True, description="Only say what would be accepted")


class ReplayAnswer(BaseModel):
    """What came of it, or would: how many items, how many are accepted, and why others are not."""

    letters: int
    accepted: int
    refused: int
    refused_by_reason: dict[str, int]
    dry_run: bool
    said: str


@collector_api.post(
    "/collector/deadletters/replay", tags=["collector"], summary="Send refused items again", responses=_WRITING
)
def replay_letters(body: ReplayBody, settings: OfServer, _: Writer) -> ReplayAnswer:
    found = replay(settings, body.reason, body.mapping, dry_run=body.dry_run)
    if isinstance(found, Down):
        raise HTTPException(409, f"No collector answers ({found.reason}): `quality collect` starts one.")
    if isinstance(found, str):
        raise HTTPException(422, found)
    return ReplayAnswer(**found, dry_run=body.dry_run, said=_sentence(found, is_dry=body.dry_run))


def _sentence(found: dict[str, int], *, is_dry: bool) -> str:
    if not found["letters"]:
        return "No refused item waits with this reason."
    verb = "would be accepted" if is_dry else "were sent again and accepted"
    words = f"{found['accepted']} of {found['letters']} {verb}"
    still = found["refused_by_reason"]
    assert isinstance(still, dict)
    why = ", ".join(f"{reason} {n}" for reason, n in sorted(still.items()))
    return f"{words}; {found['refused']} not: {why}." if why else f"{words}."
