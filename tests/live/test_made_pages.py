"""Pages that are made from the code say what the code says now."""

from __future__ import annotations

import importlib.util

import pytest

from quality_assets.domain.live.describing import Lineage, lineage
from quality_assets.domain.live.feature_set import load_features
from quality_assets.settings import REPOSITORY_ROOT

DOCS = REPOSITORY_ROOT / "docs"


@pytest.mark.parametrize("name", ["features.md", "commands.md"])
def test_a_page_is_what_is_made_of_the_code(name: str) -> None:
    spec = importlib.util.spec_from_file_location("made", DOCS / "made.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert (DOCS / name).read_text(encoding="utf-8") == made.PAGES[name](), "run `python docs/made.py`"


def test_lineage_goes_from_the_feature_to_columns() -> None:
    features = load_features(REPOSITORY_ROOT / "data" / "features.yaml")
    found = {feature.name: lineage(features, feature) for feature in features.view(1)}
    assert found["hours_since_purchase"] == Lineage(
        ("latest_purchase_7d",), ("latest_purchase",), ("event_us", "event_name")
    )
    assert found["latency_mean_ms_24h"].columns == ("latency_us",)
    assert found["hour_of_day"] == Lineage((), (), ())
