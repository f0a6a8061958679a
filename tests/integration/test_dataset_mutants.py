"""Faults planted in the last batch of a dataset: what the report says of them, and that nothing of it stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from daily_orders import orders
from sqlalchemy import func, select
from typer.testing import CliRunner

from quality_assets.cli.main import app
from quality_assets.settings import get_settings
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.store import close_operations, operations_of


def test_what_is_planted_is_told_or_survives_with_a_suggestion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUALITY_DATA_DIR", str(tmp_path / "data"))
    get_settings.cache_clear()

    def quality(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.output

    folder = tmp_path / "orders"
    folder.mkdir()
    for day in range(2):
        orders(day).to_csv(folder / f"orders_{day}.csv", index=False)
    assert quality("dataset", "add", "orders", "--path", str(folder / "*.csv"), "--key", "order_id")[0] == 0
    assert quality("check", "orders")[0] == 0
    code, output = quality("mutate", "orders")
    assert code == 1
    assert "2 batches to learn from; 4 are the least" in " ".join(output.split())
    for day in range(2, 5):
        orders(day).to_csv(folder / f"orders_{day}.csv", index=False)
    assert quality("check", "orders")[0] == 0
    code, output = quality("mutate", "orders", "--format", "json")
    assert code == 0, output
    told = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    # Six faults of cells at two shares, and two of columns.
    assert told["planted"] == 14
    assert told["killed"] == 14 - len(told["survivors"]) == sum(d["killed"] for d in told["dimensions"].values())
    assert told["dimensions"]["schema"] == {"killed": 2, "planted": 2, "kill_rate": 1.0}
    assert told["kill_rate"] >= 0.7
    assert (told["clean_batches"], told["false_alarms"]) == (2, 0)
    assert all(survivor["suggestion"] for survivor in told["survivors"])
    with operations_of(get_settings()).read() as connection:
        assert connection.execute(select(func.count()).select_from(ALERT)).scalar() == 0
    close_operations()
    get_settings.cache_clear()
