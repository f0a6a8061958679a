"""What the collector says of today, over HTTP, beside what a published snapshot says is usual by now."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from quality_assets.contracts.live import FEATURES_AUDIENCE
from quality_assets.domain.live.arrivals import SoFar, comes_live, judged, unexplained_silence
from quality_assets.domain.live.curves import TILE_MINUTES
from quality_assets.read.reader import Reader, Row, per_snapshot
from quality_assets.settings import Settings
from quality_assets.stores.http_client import http_client
from quality_assets.stores.live.readers_key import known_key

CURVES = "product.arrival_curves"
_REPLAYED_WITHIN_S = 60.0
_LAST_MINUTE = 1440


@dataclass(frozen=True)
class Down:
    """No collector answers. `since` is when it last kept something, None where there was never one; `reason` why."""

    since: datetime | None
    reason: str


@dataclass(frozen=True)
class FeatureToday:
    """One feature's day so far: what came, against what is usual; for how long it has been silent beyond chance."""

    row: Row
    so_far: SoFar
    silent_minutes: int | None
    usual_in_silence: float | None
    minutes_to_notice: int | None


Curve = Mapping[int, Row]


def address(settings: Settings, path: str) -> str:
    """Where the collector of these settings answers to a path, asked from this machine."""
    host = f"[{settings.collector_host}]" if ":" in settings.collector_host else settings.collector_host
    return f"http://{host.replace('0.0.0.0', '127.0.0.1')}:{settings.collector_port}{path}"  # noqa: S104


def ask(settings: Settings, path: str, **parameters: str | int | bool) -> Any | Down:
    """What the collector answers to a question; Down where it does not."""
    url = address(settings, path)
    try:
        answer = http_client().get(url, params=parameters, headers=headers_of(settings))
    except httpx.HTTPError as error:
        return Down(_last_kept(settings), _why(error))
    if not answer.is_success:
        return Down(_last_kept(settings), f"it answers {answer.status_code}")
    return answer.json()


def _why(error: httpx.HTTPError) -> str:
    """Why there is no answer, as people say it."""
    if isinstance(error, httpx.ConnectError):
        return "nothing listens there"
    if isinstance(error, httpx.TimeoutException):
        return "it does not answer in time"
    return f"the connection broke: {type(error).__name__}"


def replay(settings: Settings, reason: str | None, mapping: Sequence[str], *, dry_run: bool) -> Row | str | Down:
    """Have refused items sent again: what came of it, a text that says what is wrong with what was asked, or Down."""
    parameters: list[tuple[str, str | int | float | bool | None]] = [
        ("dry_run", str(dry_run).lower()),
        *(("map", text) for text in mapping),
    ]
    if reason is not None:
        parameters.append(("reason", reason))
    try:
        answer = http_client().post(
            address(settings, "/live/deadletters/replay"),
            params=parameters,
            headers=headers_of(settings),
            timeout=_REPLAYED_WITHIN_S,
        )
    except httpx.HTTPError as error:
        return Down(_last_kept(settings), _why(error))
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        return str(answer.json()["detail"])
    if not answer.is_success:
        return Down(_last_kept(settings), f"it answers {answer.status_code}")
    found: Row = answer.json()
    return found


def headers_of(settings: Settings) -> dict[str, str]:
    """What opens the collector of these settings to a reader: their token, or one that a secret of theirs signs."""
    if settings.token is not None:
        return {"authorization": f"Bearer {settings.token.get_secret_value()}"}
    if settings.collector_jwt_secret is not None:
        return {"authorization": f"Bearer {_signed(settings.collector_jwt_secret.get_secret_value(), _hour())}"}
    if settings.collector_jwt_public_key is not None and (own := known_key(settings.live_dir)) is not None:
        return {"authorization": f"Bearer {_signed(own, _hour())}"}
    return {}


def _hour() -> int:
    return int(time.time() // 3600)


@functools.lru_cache(maxsize=4)
def _signed(secret: str, hour: int) -> str:
    """A reader's token of our own, good for two hours at most: the same secret opens the collector of this root."""
    import jwt

    return jwt.encode({"aud": FEATURES_AUDIENCE, "exp": (hour + 2) * 3600}, secret, "HS256")


def _last_kept(settings: Settings) -> datetime | None:
    """When the collector has written to its log or its state last, by the files' own times."""
    files = [file for name in ("log.db", "state.db") for file in settings.live_dir.glob(f"{name}*")]
    times = [file.stat().st_mtime for file in files]
    return datetime.fromtimestamp(max(times), UTC).replace(tzinfo=None) if times else None


@per_snapshot
def curves(reader: Reader, weekday: int) -> Mapping[str, Curve]:
    """The curve on a weekday (0 is Monday), by minute, of each feature whose events come through the collector."""
    if "collected_share" not in reader.columns(CURVES):
        return {}
    found: dict[str, dict[int, Row]] = {}
    for row in reader.rows(
        "select feature, minute, expected_so_far, expected_total, lower_z, upper_z, alarm_z, collected_share"
        " from product.arrival_curves where weekday = $weekday",
        {"weekday": weekday},
    ):
        if comes_live(row["collected_share"]):
            found.setdefault(row["feature"], {})[row["minute"]] = row
    return found


def features_today(reader: Reader | None, today: Mapping[str, Any], now: datetime) -> list[FeatureToday]:
    """Every feature that came today, or is usual by now, the ones that are not as usual first."""
    known = curves(reader, now.weekday()) if reader is not None else {}
    rows = {row["feature"]: row for row in today["features"]}
    for feature, curve in known.items():
        if feature not in rows and curve[_LAST_MINUTE]["expected_total"] > 0:
            rows[feature] = {
                "feature": feature, "events": 0, "errors": 0, "crashes": 0, "users": 0, "p95_latency_ms": None,
                "last_event_at": None,
            }  # fmt: skip
    found = [_feature_today(row, known.get(feature), now) for feature, row in rows.items()]
    return sorted(found, key=lambda each: (each.so_far.state in ("usual", "unknown"), -each.row["events"]))


def _feature_today(row: Row, curve: Curve | None, now: datetime) -> FeatureToday:
    minute = now.hour * 60 + now.minute
    here = curve.get(minute - minute % TILE_MINUTES) if curve else None
    if curve is None or here is None:
        return FeatureToday(row, judged(row["events"], None, None, None), None, None, None)
    following = curve.get(minute - minute % TILE_MINUTES + TILE_MINUTES, here)
    part = (minute % TILE_MINUTES) / TILE_MINUTES
    expected = here["expected_so_far"] + part * (following["expected_so_far"] - here["expected_so_far"])
    so_far = judged(
        row["events"], expected, here["expected_total"], (here["lower_z"], here["upper_z"], here["alarm_z"])
    )
    last = _minute_of(row["last_event_at"], now)
    usual = expected - curve[last - last % TILE_MINUTES]["expected_so_far"]
    is_silent = unexplained_silence(usual)
    return FeatureToday(
        row,
        so_far,
        minute - last if is_silent else None,
        usual if is_silent else None,
        _minutes_to_notice(curve, minute, expected),
    )


def _minutes_to_notice(curve: Curve, minute: int, expected: float) -> int | None:
    """How long a silence from now on would last until it is no chance; None where the day ends before."""
    for later in range(minute - minute % TILE_MINUTES + TILE_MINUTES, _LAST_MINUTE + 1, TILE_MINUTES):
        if unexplained_silence(curve[later]["expected_so_far"] - expected):
            return later - minute
    return None


def _minute_of(instant: str | None, now: datetime) -> int:
    """The minute of today of an instant; the day's first where it is none, or of another day."""
    if instant is None:
        return 0
    then = datetime.fromisoformat(instant).astimezone(UTC).replace(tzinfo=None)
    return then.hour * 60 + then.minute if then.date() == now.date() else 0


@dataclass(frozen=True)
class Skew:
    """Values of one online feature that were served, and computed again: how many, how many differ, one of those."""

    compared: int
    different: int
    example: str


@per_snapshot
def skew(reader: Reader) -> dict[tuple[str, int], Skew]:
    """By feature and version; none where nothing was compared."""
    if not reader.has("ml.online_feature_skew"):
        return {}
    rows = reader.rows("select feature, version, compared, different, example from ml.online_feature_skew")
    return {(r["feature"], r["version"]): Skew(r["compared"], r["different"], r["example"] or "") for r in rows}


def known_until(settings: Settings) -> datetime | None:
    """Up to when all events are in the online features; None where no collector answers, or nothing came yet."""
    today = ask(settings, "/live/today")
    if isinstance(today, Down) or today["known_until"] is None:
        return None
    return datetime.fromisoformat(today["known_until"]).astimezone(UTC).replace(tzinfo=None)
