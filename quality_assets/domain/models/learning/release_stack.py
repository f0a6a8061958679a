"""What a log of releases means: which version is in use, which one rollback gives back, which one was live when.

Promotion pushes, rollback takes the top away, retirement takes all. Order is that of `seq`: a clock that went back
changes no order, and a release counts from the latest time that was written up to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

Action = Literal["promote", "rollback", "retire"]
Stage = Literal["staging", "canary", "prod"]


Standing = Literal["prod", "retired", "none"]
"""Of a version: in use, in use before, or never."""


class NoEarlierReleaseError(ValueError):
    """There is no release to go back to."""

    def __init__(self) -> None:
        super().__init__("there is no earlier release to go back to; `quality model promote` puts any version in use")


class ReleaseAheadError(ValueError):
    """A release was to count from a time that has not come: what is in use is so from the moment it is written."""

    def __init__(self, at: datetime, now: datetime) -> None:
        super().__init__(
            f"{at:%Y-%m-%dT%H:%M}Z has not come yet, and a release counts at once: leave --at out to release now"
            f" ({now:%Y-%m-%dT%H:%M}Z), or release then; --at says when it was done, for what was done before"
        )


class ReleaseConflictError(ValueError):
    """Somebody else has released meanwhile."""


@dataclass(frozen=True)
class Release:
    """One row of the log; `at` is UTC without zone, `evidence` the SHA-256 of the file that passed the gates."""

    seq: int
    model: str
    version: str
    action: Action
    stage: Stage
    actor: str
    reason: str
    at: datetime
    replaces_seq: int | None = None
    evidence: str | None = None


@dataclass(frozen=True)
class LiveInterval:
    """A version and when it was in use: from `since` on, up to and without `until`; None while it is."""

    version: str | None
    since: datetime | None
    until: datetime | None


def in_order(releases: Iterable[Release]) -> list[Release]:
    """The releases to prod in order, each from the time from which it counts."""
    found: list[Release] = []
    for each in sorted(releases, key=lambda release: release.seq):
        if each.stage == "prod":
            found.append(replace(each, at=max(each.at, found[-1].at)) if found else each)
    return found


def stack(releases: Iterable[Release]) -> list[Release]:
    """The promotions that were not taken back, the one in use last; empty where none is.

    `at` of each is from when on it was in use last: of one that was given back, when it was.
    """
    found: list[Release] = []
    for each in in_order(releases):
        if each.action == "promote":
            found.append(each)
        elif each.action == "retire":
            found.clear()
        elif found:
            found.pop()
            found[-1:] = [replace(back, at=each.at) for back in found[-1:]]
    return found


def in_use(releases: Iterable[Release]) -> Release | None:
    """The promotion whose version is in use; None where none is."""
    found = stack(releases)
    return found[-1] if found else None


def standing(releases: Iterable[Release], version: str) -> Standing:
    """Where a version stands, wherever that is told."""
    known = in_order(releases)
    current = in_use(known)
    if current is not None and current.version == version:
        return "prod"
    return "retired" if any(each.version == version for each in known) else "none"


def newest(releases: Sequence[Release]) -> Release | None:
    """The last release to prod, of whatever kind: what the next one replaces."""
    found = in_order(releases)
    return found[-1] if found else None


def given_back(releases: Iterable[Release]) -> Release:
    """The promotion that a rollback would put in use again. Raises NoEarlierReleaseError."""
    found = stack(releases)
    if len(found) < 2:
        raise NoEarlierReleaseError
    return found[-2]


def live_at(releases: Iterable[Release], when: datetime) -> LiveInterval:
    """Which version was in use at an instant, UTC where naive, and from when to when."""
    instant = utc_naive(when)
    found = in_order(releases)
    # Of several at one time, the last counts.
    begun = [at for at, each in enumerate(found) if each.at <= instant]
    if not begun:
        return LiveInterval(None, None, found[0].at if found else None)
    place = begun[-1]
    release = found[place]
    until = found[place + 1].at if place + 1 < len(found) else None
    version = None if release.action == "retire" else release.version
    return LiveInterval(version, release.at, until)


def counted_from(at: datetime | None, now: datetime, releases: Iterable[Release]) -> datetime:
    """From when on the next release counts: `at`, or now, and never before the last one. UTC without zone.

    Raises ReleaseAheadError of a time that has not come.
    """
    when, last = utc_naive(at) if at is not None else now, newest(list(releases))
    if at is not None and when > now:
        raise ReleaseAheadError(when, now)
    return when if last is None else max(when, last.at)


def utc_naive(when: datetime) -> datetime:
    """An instant as UTC without zone; a naive one is UTC already."""
    return when if when.tzinfo is None else when.astimezone(UTC).replace(tzinfo=None)
