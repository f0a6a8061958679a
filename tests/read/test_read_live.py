"""What today is held against: the curves of a snapshot, minute by minute, and nothing where there are none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from quality_assets.read import live
from quality_assets.settings import Settings

# A Monday.
NOW = datetime(2026, 3, 2, 12, 2)


def _curve(per_tile: float, **more: Any) -> dict[int, dict[str, Any]]:
    return {
        minute: {
            "expected_so_far": per_tile * minute / 5, "expected_total": per_tile * 288,
            "lower_z": -1.645, "upper_z": 1.645, "alarm_z": -2.807, **more,
        }
        for minute in range(0, 1441, 5)
    }  # fmt: skip


def _row(feature: str, events: int, last: datetime | None) -> dict[str, Any]:
    return {"feature": feature, "events": events, "last_event_at": last and last.replace(tzinfo=UTC).isoformat()}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves of two features: one event each five minutes, and one each minute."""
    monkeypatch.setattr(
        live, "curves", lambda _reader, weekday: {"A": _curve(1), "B": _curve(5)} if weekday == 0 else {}
    )


@pytest.mark.usefixtures("known")
def test_each_feature_against_its_curve_and_what_is_silent() -> None:
    today = {"features": [_row("A", 150, NOW.replace(minute=0)), _row("new", 3, NOW)]}
    found = {each.row["feature"]: each for each in live.features_today(object(), today, NOW)}  # type: ignore[arg-type]
    assert found["A"].so_far.expected == pytest.approx(144.4)
    assert found["A"].so_far.state == "usual"
    # Six events of one each five minutes: half an hour, told at the next five minutes.
    assert (found["A"].silent_minutes, found["A"].minutes_to_notice) == (None, 33)
    assert found["new"].so_far.state == "unknown"
    # Nothing at all came of B, of which 722 were usual.
    assert (found["B"].so_far.state, found["B"].silent_minutes) == ("low", 722)
    assert found["B"].usual_in_silence == pytest.approx(722)
    assert found["B"].minutes_to_notice == 8
    assert [each.so_far.state for each in live.features_today(None, today, NOW)] == ["unknown", "unknown"]


def test_a_collector_that_does_not_answer_is_down_since_it_kept_something(data_root: Settings) -> None:
    settings = data_root.model_copy(update={"collector_port": 1})
    down = live.ask(settings, "/live/today")
    assert down == live.Down(None, "nothing listens there")
    settings.live_dir.mkdir(parents=True)
    log: Path = settings.live_dir / "log.db"
    log.write_bytes(b"")
    since = live.ask(settings, "/live/today")
    assert isinstance(since, live.Down)
    assert since.since == datetime.fromtimestamp(log.stat().st_mtime, UTC).replace(tzinfo=None)
