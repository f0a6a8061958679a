"""The sensor that has files read again: after a source's YAML has changed, and where files wait for a better moment."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from quality_assets.contracts.raw import LOG_FILES
from quality_assets.defs import reading_again
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.settings import Settings
from quality_assets.stores.readers.faults import WAITS

YAML = "name: shop\ncolumns: {{event_time: ts, feature: {column}, status: {{constant: ok}}}}\n"


class Looks:
    """One look after another, each from the cursor of the last."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.cursor: str | None = None

    def keys(self) -> list[str | None]:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        found = reading_again.reading_again_sensor(context)
        self.cursor = found.cursor if isinstance(found, dg.SensorResult) else context.cursor
        return [r.run_key for r in found.run_requests or []] if isinstance(found, dg.SensorResult) else []

    def read(self, *waiting: str) -> None:
        metadata = {"files_waiting": list(waiting)}
        self.instance.report_runless_asset_event(dg.AssetMaterialization(asset_key(LOG_FILES), metadata=metadata))


@pytest.fixture
def looks(data_root: Settings) -> Iterator[Looks]:
    """A root with a source of its own, on an instance that has seen nothing."""
    (data_root.data_dir / "sources").mkdir(parents=True)
    (data_root.data_dir / "sources" / "shop.yaml").write_text(YAML.format(column="page"))
    with dg.DagsterInstance.ephemeral() as instance:
        yield Looks(instance)


def test_a_source_that_was_changed_has_its_files_read_again_once(looks: Looks, data_root: Settings) -> None:
    path = data_root.data_dir / "sources" / "shop.yaml"
    assert looks.keys() == [], "what there is at the first look was read by it"
    path.touch()
    assert looks.keys() == [], "its time says nothing"
    path.write_text(YAML.format(column="screen"))
    (changed,) = looks.keys()
    assert looks.keys() == []
    looks.read()
    path.write_text(YAML.format(column="page"))
    (back,) = looks.keys()
    path.write_text(YAML.format(column="screen"))
    looks.read()
    (again,) = looks.keys()
    assert len({changed, back, again}) == 3, "Dagster asks for a key once"
    path.unlink()
    assert len(looks.keys()) == 1, "a source that is gone is a change too"


def test_what_people_define_anew_is_built_anew(looks: Looks, data_root: Settings) -> None:
    assert looks.keys() == []
    for number, name in enumerate(("feature_metadata.csv", "funnels/a.yaml", "experiments/b.yaml", "events.yaml")):
        path = data_root.data_dir / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("feature\nsearch\n")
        assert len(looks.keys()) == 1, (number, name)
        assert looks.keys() == []


def test_a_file_that_waits_is_tried_again_after_a_while_and_one_that_was_refused_is_not(
    looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks.read("a.csv: it is empty")
    monkeypatch.setattr(reading_again, "RETRY_AFTER_S", 0.0)
    assert looks.keys() == []
    looks.read(f"a.csv: {WAITS} there is no space left on the disk")
    monkeypatch.setattr(reading_again, "RETRY_AFTER_S", 300.0)
    assert looks.keys() == [], "the disk is as full as a moment ago"
    monkeypatch.setattr(reading_again, "RETRY_AFTER_S", 0.0)
    assert len(looks.keys()) == 1
    assert looks.keys() == [], "until it was read once more"
    looks.read(f"a.csv: {WAITS} there is no space left on the disk")
    assert len(looks.keys()) == 1
