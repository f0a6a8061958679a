"""What is told of models, ours and those that people brought: each card whole, from a few manifests and releases."""

from __future__ import annotations

import json
from datetime import datetime
from math import inf, nan
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.release_stack import Release
from quality_assets.read import brought_models, models
from quality_assets.stores import user_models
from quality_assets.stores.released import MANIFESTS

NAME = "sales"
CONTRACT = TABULAR[NAME].contract
AT = datetime(2026, 3, 4, 5, 6, 7)
Patch = pytest.MonkeyPatch


def _release(seq: int, version: str, **more: Any) -> Release:
    known = {
        "action": "promote",
        "stage": "prod",
        "actor": "ann",
        "reason": "better",
        "at": AT.replace(day=max(seq, 1)),
    }
    return Release(seq=seq, model=NAME, version=version, **(known | more))


def _manifest(version: str, **more: Any) -> dict[str, Any]:
    return {
        "version": version, "created_at": f"2026-03-0{version}", "rows": 100, "headline_split": "time",
        "headline": {"r2": 0.9, "rmse": 2.5, "more": 1}, "wins": ["w"], "decision": "d",
        "chosen": {"all": {"candidate": f"c{version}"}, "without": {"candidate": "not this"}},
        "inputs": ["MSRP"], "file": f"versions/{version}/model.bin",
    } | more  # fmt: skip


@pytest.fixture
def root(monkeypatch: Patch, tmp_path: Any) -> Any:
    """A root with two versions of sales; `releases` are what was put in use."""
    made = SimpleNamespace(models_dir=tmp_path / "models", reports_dir=tmp_path / "reports", releases=[])
    folder = made.models_dir / NAME / MANIFESTS
    folder.mkdir(parents=True)
    for version in ("2", "10"):
        (folder / f"{version}.json").write_text(json.dumps(_manifest(version)))
    for module in (models, brought_models):
        monkeypatch.setattr(
            module,
            "release_log",
            lambda _: SimpleNamespace(of=lambda name: [r for r in made.releases if r.model == name]),
        )
    return made


def _report(root: Any, name: str, **told: Any) -> None:
    folder = root.reports_dir / "drift"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(told))


NOTHING_USED = {
    "name": NAME, "predicts": CONTRACT.target.name, "of": CONTRACT.title, "unit": CONTRACT.target.unit,
    "versions": 2, "version": None, "release_seq": None, "since": None, "candidate": None, "split": None,
    "figures": {}, "drift": "unknown", "drift_words": None, "coverage_last_30d": None,
}  # fmt: skip


def test_a_card_of_a_model_of_which_nothing_is_in_use(root: Any) -> None:
    assert models.card(root, NAME) == NOTHING_USED
    assert [each["name"] for each in models.cards(root)] == list(TABULAR)
    assert [each["versions"] for each in models.cards(root) if each["name"] != NAME] == [0] * (len(TABULAR) - 1)


def test_a_card_of_what_is_in_use_with_its_drift(root: Any) -> None:
    root.releases[:] = [_release(1, "2"), _release(3, "10")]
    _report(root, NAME, status="drifted", words="It moved.", performance={"coverage": 0.8})
    used = NOTHING_USED | {
        "version": "10", "release_seq": 3, "since": "2026-03-03T05:06:07Z", "candidate": "c10", "split": "time",
        "figures": {"r2": 0.9, "rmse": 2.5, "mae": None, "coverage": None}, "drift": "drifted",
        "drift_words": "It moved.", "coverage_last_30d": 0.8,
    }  # fmt: skip
    assert models.card(root, NAME) == used
    # Of a version whose manifest is gone nothing more is known.
    root.releases.append(_release(4, "7"))
    gone = models.card(root, NAME)
    assert (gone["version"], gone["candidate"], gone["split"], gone["figures"]) == ("7", None, None, {})


@pytest.mark.parametrize("text", ["{", "[]", '{"status": "steady"}'])
def test_a_report_on_drift_that_is_none(root: Any, text: str) -> None:
    _report(root, NAME)
    (root.reports_dir / "drift" / f"{NAME}.json").write_text(text)
    assert models.drift_report(root, NAME) is None


def test_all_that_is_told_of_a_model(root: Any) -> None:
    root.releases[:] = [_release(1, "2"), _release(2, "10", action="rollback", replaces_seq=1)]
    root.releases.insert(0, _release(0, "10", at=AT))
    found = models.told_of(root, NAME)
    shared = {"rows": 100, "split": "time", "r2": 0.9, "rmse": 2.5, "mae": None, "coverage": None, "wins": ["w"],
              "decision": "d"}  # fmt: skip
    assert found["versions"] == [
        {"version": "2", "created_at": "2026-03-02", "candidate": "c2", "is_in_use": False} | shared,
        {"version": "10", "created_at": "2026-03-010", "candidate": "c10", "is_in_use": True} | shared,
    ]
    assert found["releases"][2] == {
        "seq": 2, "version": "10", "action": "rollback", "stage": "prod", "actor": "ann", "reason": "better",
        "at": "2026-03-02T05:06:07Z", "replaces_seq": 1,
    }  # fmt: skip
    assert (found["version"], found["contract"], found["account"]) == ("10", CONTRACT.fingerprint, _manifest("10"))
    assert [each["name"] for each in found["inputs"] if each["is_used"]] == ["MSRP"]
    for told, known in zip(found["inputs"], CONTRACT.inputs, strict=True):
        assert {name: told[name] for name in told if name != "is_used"} == {
            "name": known.name, "type": known.type, "unit": known.unit, "description": known.description,
            "known_at": known.known_at, "minimum": known.minimum, "maximum": known.maximum,
            "allowed": list(known.allowed) if known.allowed else None, "nullable": known.nullable,
        }  # fmt: skip


def test_the_account_is_of_the_version_in_use_else_of_the_newest_else_of_none(root: Any) -> None:
    assert models.told_of(root, NAME)["account"] == _manifest("10")
    root.releases[:] = [_release(1, "2")]
    assert models.told_of(root, NAME)["account"] == _manifest("2")
    root.releases[:] = [_release(1, "7")]
    found = models.told_of(root, NAME)
    assert (found["account"], {each["is_used"] for each in found["inputs"]}) == (None, {False})
    assert models.told_of(root, "housing")["account"] is None


def test_what_was_in_use_when(root: Any) -> None:
    root.releases[:] = [_release(1, "2"), _release(3, "10")]
    nothing = {"version": None, "since": None, "until": "2026-03-01T05:06:07Z"}
    assert models.live(root, NAME, datetime(2026, 3, 1)) == nothing
    assert models.live(root, NAME, datetime(2026, 3, 2)) == {
        "version": "2", "since": "2026-03-01T05:06:07Z", "until": "2026-03-03T05:06:07Z",
    }  # fmt: skip
    assert models.live(root, NAME, datetime(2026, 3, 4))["until"] is None


def test_evidence_as_it_was_kept_with_numbers_that_json_knows(root: Any) -> None:
    assert models.evidence(root, NAME, "2", "metrics") == []
    assert models.evidence(root, NAME, "9", "metrics") == []
    folder = root.models_dir / NAME / "versions" / "2"
    folder.mkdir(parents=True)
    rows = [
        {"name": "a", "value": 0.5, "n": 1},
        {"name": None, "value": nan, "n": 2},
        {"name": "c", "value": -inf, "n": 3},
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "metrics.parquet")
    assert models.evidence(root, NAME, "2", "metrics") == [
        rows[0],
        rows[1] | {"value": None},
        rows[2] | {"value": None},
    ]


# --- Brought by people ------------------------------------------------------------------------------------------------

ABOUT = {
    "version": "3", "versions": 2, "kind": "regression", "learner": "forest", "on_sample": {"r2": 0.5},
    "deployed_at": "2026-03-01T00:00:00Z", "first": {"x": 1},
    "contract": {"target": "price", "inputs": [{"name": "x"}], "rows": 40},
}  # fmt: skip
CARD = {
    "name": "mine", "brought": True, "of": "rows of its sample", "unit": None, "split": None, "figures": {},
    "coverage_last_30d": None, "drift": "unknown", "drift_words": None, "release_seq": None, "predicts": "price",
    "kind": "regression", "versions": 2, "version": "3", "since": "2026-03-01T00:00:00Z", "candidate": "forest",
    "on_sample": {"r2": 0.5},
}  # fmt: skip


@pytest.fixture
def mine(root: Any, monkeypatch: Patch) -> Any:
    """The root with a model that somebody brought, as `about` tells of it."""
    root.about, root.report = dict(ABOUT), None
    monkeypatch.setattr(brought_models.brought_models, "names", lambda _: ["mine", "other"])
    monkeypatch.setattr(brought_models.brought_models, "about", lambda _, name: root.about)
    monkeypatch.setattr(brought_models, "read_report", lambda _, name: root.report if name == "mine" else None)
    return root


def test_a_card_of_a_model_that_was_brought(mine: Any) -> None:
    assert brought_models.card(mine, "mine") == CARD
    assert brought_models.cards(mine) == [CARD, CARD | {"name": "other"}]
    mine.releases[:] = [Release(5, "mine", "3", "promote", "prod", "ann", "r", AT)]
    mine.report = {"status": "steady", "words": "As before."}
    mine.about["contract"] = ABOUT["contract"] | {"target": None}  # type: ignore[operator]
    assert brought_models.card(mine, "mine") == CARD | {
        "release_seq": 5, "since": "2026-03-04T05:06:07Z", "drift": "steady", "drift_words": "As before.",
        "predicts": "what it learnt",
    }  # fmt: skip


@pytest.mark.parametrize(
    "error", [user_models.AlteredModelError("it was altered"), user_models.UnknownModelError("gone")]
)
def test_a_model_whose_files_are_broken_says_so(mine: Any, monkeypatch: Patch, error: Exception) -> None:
    def broken(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(brought_models.brought_models, "about", broken)
    nothing = dict.fromkeys(("predicts", "kind", "version", "since", "candidate", "on_sample"))
    assert brought_models.card(mine, "mine") == CARD | nothing | {"versions": 0, "drift_words": str(error)}


def test_all_that_is_told_of_one_that_was_brought(mine: Any, monkeypatch: Patch) -> None:
    kept = [
        {"version": version, "deployed_at": f"d{version}", "actor": "ann", "learner": "l", "on_sample": {}, "more": 1}
        for version in ("2", "3")
    ]
    monkeypatch.setattr(
        brought_models.store, "about_versions", lambda folder, name: kept if folder == mine.models_dir else name
    )
    mine.releases[:] = [Release(5, "mine", "3", "promote", "prod", "ann", "r", AT)]
    told = {"created_at": "d2", "actor": "ann", "candidate": "l", "on_sample": {}}
    assert brought_models.told_of(mine, "mine") == CARD | {
        "release_seq": 5, "since": "2026-03-04T05:06:07Z", "contract": ABOUT["contract"], "inputs": [{"name": "x"}],
        "first": {"x": 1}, "sample_rows": 40,
        "versions": [
            told | {"version": "2", "is_in_use": False},
            told | {"version": "3", "created_at": "d3", "is_in_use": True},
        ],
        "releases": [
            {"seq": 5, "version": "3", "action": "promote", "stage": "prod", "actor": "ann", "reason": "r",
             "at": "2026-03-04T05:06:07Z", "replaces_seq": None},
        ],
    }  # fmt: skip
