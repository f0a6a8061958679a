"""Model files hold plain state; damaged, foreign and older ones are read or refused, and nothing else comes of them.

`tests/data/model_layout_1` was written by the last code of the first layout: `models.zip` has its files, one of them
trained and three put together so that every kind of estimator is in one; `inputs.parquet` has feature-days and
`scores.parquet` what that code made of them.
"""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

from quality_assets.contracts.risk_inputs import INPUT_NAMES
from quality_assets.domain.models import state as model_state
from quality_assets.domain.models.artifact import InputsMismatchError, TrainedModel
from quality_assets.domain.models.decoding import ModelStateError
from quality_assets.domain.models.estimators import Sigmoid, TargetModel, make_estimator
from quality_assets.domain.models.risk.scoring import score_risk
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.state import from_state, to_state
from quality_assets.stores import model_files
from quality_assets.stores.model_files import UnreadableModelError, is_model_file, read_state, write_state
from quality_assets.stores.plain_skops import NotPlainError, is_plain, read_plain

DATA = Path(__file__).parent.parent / "data" / "model_layout_1"
FILES = ("trained", "forest_and_logistic", "boosting_and_chart", "base_rate_and_persistence")


@cache
def _old(name: str) -> bytes:
    with zipfile.ZipFile(DATA / "models.zip") as files:
        return files.read(f"{name}.skops")


def _changed(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The file with another index."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name == "schema.json":
                schema = json.loads(data)
                change(schema)
                data = json.dumps(schema).encode()
            after.writestr(name, data)
    return out.getvalue()


def _replaced(content: bytes, old: str, new: str) -> bytes:
    def change(schema: dict[str, Any]) -> None:
        text = json.dumps(schema)
        assert old in text
        schema.update(json.loads(text.replace(old, new)))

    return _changed(content, change)


def _asked(model: TrainedModel, inputs: pd.DataFrame) -> pd.DataFrame:
    """What the estimators of a model say of the inputs that it was made for, whatever inputs there are today."""
    x = inputs[list(model.input_names)].to_numpy(dtype=float)
    feature = inputs["feature"].to_numpy()
    said = {}
    for name, target in model.targets.items():
        # A baseline looks for its column where that stands today.
        if target.name not in FEATURE_RISK.baselines:
            said[name] = target.probability(x, feature)
            if name == "any":
                said["low"], said["high"] = target.interval(x, feature, said[name])
    return pd.DataFrame(said).rename(columns={"any": "risk_probability", "onset": "onset_probability"})


@pytest.mark.parametrize("name", ["forest_and_logistic", "boosting_and_chart"])
def test_a_file_of_the_first_layout_says_what_it_said(name: str) -> None:
    inputs, every = pd.read_parquet(DATA / "inputs.parquet"), pd.read_parquet(DATA / "scores.parquet")
    before = every[every["file"] == name].reset_index(drop=True)
    said = _asked(from_state(FEATURE_RISK, read_state(_old(name))), inputs)
    told = [column for column in said if before[column].notna().any()]
    assert told
    for column in told:
        known = before[column].notna()
        # To the last bit on the machine that wrote them; another's linear algebra may round otherwise.
        np.testing.assert_allclose(said.loc[known, column], before.loc[known, column], rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", FILES)
def test_a_model_of_other_inputs_is_not_asked(name: str) -> None:
    with pytest.raises(InputsMismatchError, match=r"changed .*tail_z"):
        score_risk(from_state(FEATURE_RISK, read_state(_old(name))), pd.read_parquet(DATA / "inputs.parquet"), "1")


def test_the_files_of_the_first_layout_have_every_kind_that_there_was() -> None:
    models = [from_state(FEATURE_RISK, read_state(_old(name))) for name in FILES]
    found = {target.name for model in models for target in model.targets.values()}
    assert found == set(FEATURE_RISK.recipe().estimators) - {"base_rate"}


@pytest.mark.parametrize("name", FILES)
def test_the_first_layout_is_read_when_its_modules_are_gone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("quality_assets.domain.risk", "quality_assets.domain.risk_models"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError):
        skops.io.loads(_old(name), trusted=skops.io.get_untrusted_types(data=_old(name)))
    assert is_model_file(_old(name))
    assert to_state(FEATURE_RISK, from_state(FEATURE_RISK, read_state(_old(name))))["input_names"][:2] == [
        "latency_change",
        "latency_z",
    ]


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_names_nothing_of_ours_and_comes_back(name: str) -> None:
    model = from_state(FEATURE_RISK, read_state(_old(name)))
    content = write_state(to_state(FEATURE_RISK, model))
    assert is_model_file(content)
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert not [entry for entry in file.namelist() if b"quality_assets" in file.read(entry)]
    again = from_state(FEATURE_RISK, read_state(content))
    inputs = pd.read_parquet(DATA / "inputs.parquet")
    pd.testing.assert_frame_equal(_asked(again, inputs), _asked(model, inputs), check_exact=True)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=4), st.lists(st.floats(), max_size=4))
def test_what_is_plain_is_read_as_by_skops(values: dict[str, Any], numbers: list[float]) -> None:
    content = skops.io.dumps({"values": values, "numbers": np.array(numbers)})
    assert is_plain(content)
    one, other = read_plain(content), skops.io.loads(content)
    assert one["values"] == other["values"] == values
    np.testing.assert_array_equal(one["numbers"], other["numbers"])


@pytest.mark.parametrize(
    "value",
    [
        LinearRegression(),
        {1: "a key that is no text"},
        np.float64(1.5),
        np.array(["an object"], dtype=object),
        ("a tuple",),
        Path("/"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain_is_left_to_skops(value: object) -> None:
    content = skops.io.dumps({"value": value})
    assert not is_plain(content)
    with pytest.raises(NotPlainError):
        read_plain(content)


def _learnt(**targets: str) -> tuple[TrainedModel, Inputs]:
    """A model that has learnt each target by an estimator of a kind, with two members; and what it has learnt from."""
    rng = np.random.default_rng(5)
    x = np.where(rng.random((300, len(INPUT_NAMES))) < 0.05, np.nan, rng.normal(size=(300, len(INPUT_NAMES))))
    y = (rng.random(300) < 0.3).astype(float)
    settings = RiskSettings(forest_trees=10, boosting_rounds=3, threads=1)
    fitted = {}
    for name, kind in targets.items():
        estimators = [make_estimator(FEATURE_RISK, kind, settings) for _ in range(3)]
        for number, each in enumerate(estimators):
            each.fit(x[100 * number :], y[100 * number :], np.zeros(300 - 100 * number))
        fitted[name] = TargetModel(kind, estimators[0], Sigmoid(1.25, -0.5), [(e, Sigmoid()) for e in estimators[1:]])
    return TrainedModel(date(2026, 5, 1), 7, INPUT_NAMES, fitted, 0.3, ()), (x, y)


Inputs = tuple[np.ndarray, np.ndarray]


def _estimators(model: TrainedModel, name: str) -> list[Any]:
    target = model.targets[name]
    return [target.estimator, *(estimator for estimator, _ in target.members)]


def _in_format_3(model: TrainedModel) -> dict[str, Any]:
    """The state as it was written before: scikit-learn's own trees in it."""
    state = to_state(FEATURE_RISK, model)
    for name, target in state["targets"].items():
        for each, made in zip([target, *target["members"]], _estimators(model, name), strict=True) if target else ():
            if each["estimator"].pop("trees", None):
                each["estimator"]["model"] = made.learner
    return state | {"format": 3}


def _in_format_2(model: TrainedModel) -> tuple[dict[str, Any], list[LogisticRegression]]:
    """The state as it was written before that: scikit-learn's own regressions in it as well; and these."""
    state, made = _in_format_3(model), []
    for target in filter(None, state["targets"].values()):
        for each in (target, *target["members"]):
            estimator = each["estimator"]
            if estimator["kind"] in ("logistic_regression", "ewma_chart"):
                regression = LogisticRegression(C=estimator.pop("c", 1.0), max_iter=500)
                regression.classes_ = np.array([0.0, 1.0])
                regression.coef_ = estimator["model"]["coefficients"][None, :]
                regression.intercept_ = np.array([estimator["model"]["intercept"]])
                estimator["model"] = regression
                made.append(regression)
    return state | {"format": 2}, made


@pytest.mark.parametrize("kind", ["logistic_regression", "ewma_chart"])
def test_a_regression_is_asked_without_scikit_learn_and_says_the_same(kind: str) -> None:
    model, (x, y) = _learnt(any=kind)
    estimator = model.targets["any"].estimator
    (regression, *_) = _in_format_2(model)[1]
    prepared = estimator.prepared(x) if kind == "logistic_regression" else estimator._drift(x)
    again = LogisticRegression(C=regression.C, max_iter=500).fit(prepared, y)
    np.testing.assert_allclose(estimator.predict(x, y), again.predict_proba(prepared)[:, 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("onset", ["ewma_chart", "random_forest"])
def test_a_file_of_format_2_is_the_same_model(onset: str) -> None:
    model, (x, y) = _learnt(any="logistic_regression", onset=onset)
    state, _ = _in_format_2(model)
    content = skops.io.dumps(state)
    assert is_model_file(content)
    assert is_plain(content) is (onset == "ewma_chart")
    again = from_state(FEATURE_RISK, read_state(content))
    assert to_state(FEATURE_RISK, again)["targets"]["any"]["estimator"]["c"] == 0.3
    for name, target in model.targets.items():
        assert again.targets[name].probability(x, y).tolist() == target.probability(x, y).tolist()
        assert [each.predict(x, y).tolist() for each, _ in again.targets[name].members] == [
            each.predict(x, y).tolist() for each, _ in target.members
        ]


@pytest.mark.parametrize("kind", ["random_forest", "hist_gradient_boosting"])
def test_a_file_of_format_3_is_the_same_model(kind: str) -> None:
    model, (x, y) = _learnt(any=kind, onset="logistic_regression")
    content = skops.io.dumps(_in_format_3(model))
    assert is_model_file(content)
    assert not is_plain(content)
    again = from_state(FEATURE_RISK, read_state(content))
    for name in model.targets:
        pairs = zip(_estimators(again, name), _estimators(model, name), strict=True)
        assert all(one.predict(x, y).tolist() == other.predict(x, y).tolist() for one, other in pairs)
    # Asked by arrays alone, the bits are those that scikit-learn gives.
    assert [each.learner for each in _estimators(again, "any")] == [None] * 3


def test_trees_of_format_3_that_were_never_grown_are_refused() -> None:
    model, _ = _learnt(any="random_forest")
    state = _in_format_3(model)
    del model.targets["any"].estimator.learner.estimators_
    with pytest.raises(UnreadableModelError, match=r"cannot be read .*estimators_"):
        read_state(skops.io.dumps(state))


def test_a_regression_of_format_2_that_was_never_fitted_is_refused() -> None:
    state, made = _in_format_2(_learnt(any="logistic_regression")[0])
    del made[0].coef_
    with pytest.raises(UnreadableModelError, match=r"cannot be read .*KeyError: 'coef_'"):
        read_state(skops.io.dumps(state))


def test_trees_are_read_where_there_is_no_skops_and_no_scikit_learn(tmp_path: Path) -> None:
    model, _ = _learnt(any="hist_gradient_boosting", onset="random_forest")
    content = write_state(to_state(FEATURE_RISK, model))
    assert is_plain(content)
    assert _read_without_skops(tmp_path, content) == ["hist_gradient_boosting", "random_forest"]


def test_baselines_and_regressions_are_read_where_there_is_no_skops_and_no_scikit_learn(tmp_path: Path) -> None:
    assert _read_without_skops(tmp_path, NEW) == ["feature_base_rate", "persistence"]
    model, _ = _learnt(any="logistic_regression", onset="ewma_chart")
    for state in (to_state(FEATURE_RISK, model), _in_format_2(model)[0]):
        assert _read_without_skops(tmp_path, skops.io.dumps(state)) == ["ewma_chart", "logistic_regression"]


def _read_without_skops(tmp_path: Path, content: bytes) -> list[str]:
    """The names of the estimators of a file, read and asked by a process that has none of the three libraries."""
    (tmp_path / "model.skops").write_bytes(content)
    code = (
        "import sys; sys.modules['skops'] = sys.modules['sklearn'] = sys.modules['scipy'] = None\n"
        "from pathlib import Path\n"
        "from quality_assets.domain.models.risk.use_case import FEATURE_RISK\n"
        "from quality_assets.domain.models.state import from_state\n"
        "from quality_assets.stores.model_files import read_state\n"
        f"state = read_state(Path({str(tmp_path / 'model.skops')!r}).read_bytes())\n"
        "import numpy as np\n"
        "targets = from_state(FEATURE_RISK, state).targets.values()\n"
        "asked = np.zeros((1, len(FEATURE_RISK.inputs))), np.array(['search'])\n"
        "for each in targets: each.interval(*asked, each.probability(*asked))\n"
        "print(*sorted({each.name for each in targets}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    return done.stdout.split()


def test_state_and_files_have_one_format() -> None:
    assert model_files.FORMAT == model_state.FORMAT


NEW = write_state(to_state(FEATURE_RISK, from_state(FEATURE_RISK, read_state(_old("base_rate_and_persistence")))))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a model file"),
        (b"not a model", "not a model file"),
        (pickle.dumps({"format": 2}), "not a model file"),
        (NEW[:100], "not a model file"),
        (NEW[: len(NEW) // 2], "not a model file"),
        (NEW[:-1], "not a model file"),
        (_old("trained")[:-1000], "not a model file"),
        (skops.io.dumps([1, 2]), "not a model file"),
        (skops.io.dumps({"x": 1}), "not a model file"),
        (skops.io.dumps(Sigmoid()), "not a model file"),
        (skops.io.dumps({"format": 5}), "format 5, and this version of the program reads 4"),
        (skops.io.dumps({"format": "2"}), "format '2'"),
    ],
    # What skops writes names addresses in memory, so the bytes are no name that two processes agree on.
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}-bytes",
)
def test_what_is_no_model_file_is_refused(content: bytes, words: str) -> None:
    assert not is_model_file(content)
    with pytest.raises(UnreadableModelError, match=words):
        read_state(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (skops.io.dumps({"format": 2, "x": Sigmoid()}), r"types that no model has \(\S*\.Sigmoid\)"),
        (skops.io.dumps({"format": 2, "x": Path("/")}), r"types that no model has \(.*Path"),
        (skops.io.dumps({"format": 2, "x": json.dumps}), r"types that no model has \(json.dumps\)"),
        (_replaced(_old("trained"), '"EwmaChart"', '"OtherChart"'), r"no model has \(.*risk_models.OtherChart\)"),
        (_replaced(_old("trained"), '"date", "__module__": "datetime"', '"system", "__module__": "os"'), "os.system"),
        (_replaced(_old("trained"), '"LogisticRegression"', '"GoneRegression"'), "cannot be read .*GoneRegression"),
        (_replaced(_old("trained"), "sklearn.linear_model._logistic", "sklearn.gone"), "cannot be read .*sklearn.gone"),
        (_replaced(_old("trained"), '"calibrator":', '"calibration":'), "cannot be read .*KeyError: 'calibrator'"),
        (_replaced(_old("trained"), '"Sigmoid"', '"EwmaChart"'), "cannot be read .*ewma_chart where"),
        (_changed(_old("trained"), lambda schema: schema.update(protocol=99)), "cannot be read .*protocol 99"),
        (_changed(NEW, lambda schema: schema.pop("protocol")), "cannot be read"),
        (_replaced(NEW, '"DictNode"', '"NoNode"'), "cannot be read .*NoNode"),
    ],
)
def test_what_cannot_be_loaded_is_refused_and_says_why(content: bytes, words: str) -> None:
    with pytest.raises(UnreadableModelError, match=words):
        read_state(content)


@given(st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([NEW, _old("trained")])))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    is_model_file(bytes(content))
    try:
        model = from_state(FEATURE_RISK, read_state(bytes(content)))
    except (UnreadableModelError, ModelStateError):
        return
    assert model.horizon_days == 7
