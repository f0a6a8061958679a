"""Settings of the scale-out: the same names in settings, manifests and docs."""

from __future__ import annotations

import re
from pathlib import Path

from quality_assets.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PLACES = [
    *(ROOT / "deploy").rglob("*.yaml"), *(ROOT / "deploy").rglob("*.md"), ROOT / "docs" / "scale-out.md",
]  # fmt: skip
# What a compose file takes from its own environment.
_NOT_OURS = {"QUALITY_VERSION"}


def test_settings_that_are_named_are_there() -> None:
    known = {f"QUALITY_{name.upper()}" for name in Settings.model_fields}
    for place in PLACES:
        named = set(re.findall(r"\bQUALITY_[A-Z_]+\b", place.read_text(encoding="utf-8"))) - _NOT_OURS
        assert named <= known, place


def test_what_is_passed_on_as_nothing_is_not_set(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, live_url="", redis_url="", kafka_brokers="")
    assert (settings.live_url, settings.redis_url, settings.kafka_brokers) == (None, None, None)
    assert settings.live_state == tmp_path / "live" / "state.db"
