"""The log of runs: a line a step, put aside once it is full, and never a reason to fail."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from quality_assets.stores import run_log
from quality_assets.stores.run_log import KEPT_FILES, RUN_LOG, RunStep, append_step


def _step(number: int = 1, **changes: Any) -> RunStep:
    values: dict[str, Any] = {
        "run_id": "r1",
        "job": "build_days",
        "kind": "asset",
        "what": f"core.table_{number}",
        "dates": (date(2026, 1, 1), date(2026, 1, 2)),
        "rows": 12,
        "started_at": datetime(2026, 1, 3, 6, 0, 0),
        "finished_at": datetime(2026, 1, 3, 6, 0, 1, 250_000),
        "outcome": "succeeded",
    }
    return RunStep(**(values | changes))


def test_a_step_is_one_line_of_json(tmp_path: Path) -> None:
    append_step(tmp_path / "logs", _step())
    append_step(tmp_path / "logs", _step(2, dates=None, rows=None, outcome="failed", cause="a\nb \x1b[31m"))
    first, second = (tmp_path / "logs" / RUN_LOG).read_text().splitlines()
    assert json.loads(first) == {
        "time": "2026-01-03T06:00:01.250Z",
        "run_id": "r1",
        "job": "build_days",
        "kind": "asset",
        "what": "core.table_1",
        "start": "2026-01-01",
        "end": "2026-01-02",
        "rows": 12,
        "seconds": 1.25,
        "outcome": "succeeded",
        "cause": "",
    }
    read = json.loads(second)
    assert (read["start"], read["rows"], read["outcome"], read["cause"]) == (None, None, "failed", "a\nb \x1b[31m")
    assert "\x1b" not in second


def test_a_full_log_is_put_aside_and_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "MAX_BYTES", 1)
    for number in range(KEPT_FILES + 3):
        append_step(tmp_path, _step(number))
    names = sorted(path.name for path in tmp_path.glob(f"{RUN_LOG}*"))
    assert names == [RUN_LOG, *(f"{RUN_LOG}.{n}" for n in range(1, KEPT_FILES + 1))]
    newest_first = [json.loads((tmp_path / name).read_text())["what"] for name in names]
    assert newest_first == [f"core.table_{n}" for n in range(KEPT_FILES + 2, 1, -1)]


def test_a_log_that_cannot_be_written_fails_no_run(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    append_step(tmp_path / "logs", _step())
    assert (tmp_path / "logs").read_text() == "a file where the folder should be"
