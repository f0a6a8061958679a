"""Files of experiments: what may stand in them, and that each mistake is told with file, key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from quality_assets.contracts.experiment_files import load_experiments
from quality_assets.contracts.metric_names import MetricNameError, parse_metric_name

GOOD = """
name: checkout
owner: nadia@example.com
variants_from: variant
arms: {control: 0.5, test: 0.5}
control: control
start: 2026-03-01
end: 2026-03-14
window: 7d
metrics:
  primary: [return_7d]
  secondary: ["uses:Search", "count:share", "sum:properties.price", "completed:Quiz", "converted:buy"]
  guardrail: [crash_rate, {name: latency_mean_ms, margin: 0.05}]
"""


def loaded(tmp_path: Path, text: str) -> tuple[list[str], tuple[str, ...]]:
    (tmp_path / "one.yaml").write_text(text, encoding="utf-8")
    files = load_experiments(tmp_path)
    return list(files.by_name), files.errors


def test_a_file_that_is_right_is_read(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(GOOD, encoding="utf-8")
    file = load_experiments(tmp_path).by_name["checkout"]
    assert file.weights == {"control": 0.5, "test": 0.5}
    assert file.window_days == 7
    assert file.property_key is None
    assert file.has_weights
    roles = [(role, choice.name, choice.margin) for role, choice in file.metrics.by_role()]
    assert roles[0] == ("primary", "return_7d", 0.1)
    assert roles[-1] == ("guardrail", "latency_mean_ms", 0.05)


def test_arms_may_stand_in_a_property_and_have_no_weights(tmp_path: Path) -> None:
    text = GOOD.replace("variants_from: variant", "variants_from: properties.button")
    text = text.replace("{control: 0.5, test: 0.5}", "[control, test, other]")
    (tmp_path / "one.yaml").write_text(text, encoding="utf-8")
    file = load_experiments(tmp_path).by_name["checkout"]
    assert file.property_key == "button"
    assert not file.has_weights
    assert list(file.weights.values()) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "test: 0.5",
            "test: 0.4",
            "arms: weights sum to 0.9, not to 1; of that sum they are {control: 0.5556,",
        ),
        ("test: 0.5", "test: null", "arms: gives a weight to some arms only"),
        ("{control: 0.5, test: 0.5}", "{control: 1}", "arms: needs two arms or more"),
        ("control: control", "control: [control, test]", "control: has 2 arms; exactly one arm is the control"),
        ("control: control", "control: old", "control: 'old' is not one of control, test"),
        ("window: 7d", "window: 91d", "window: '91d' is longer than 90 days"),
        ("window: 7d", "window: soon", "window: 'soon' is no window: write days or weeks"),
        ("end: 2026-03-14", "end: 2026-02-14", "end: 2026-02-14 lies before start, 2026-03-01"),
        ("end: 2026-03-14", "end: March", "end: input should be a valid date"),
        ("variants_from: variant", "variants_from: arm", "variants_from: 'arm' is not one of variant, properties.KEY"),
        ("owner: nadia@example.com", "", "owner: is missing"),
        ("window: 7d", "windw: 7d", "windw: is not one of name, owner"),
        ("primary: [return_7d]", "primary: []", "metrics.primary: tuple should have at least 1 item"),
        ("primary: [return_7d]", "primary: [crash_rat]", "is no metric: return_7d, uses:FEATURE"),
        ("primary: [return_7d]", "primary: [crash_rate]", "crash_rate is named twice"),
        ("primary: [return_7d]", "primary: [users]", "'users' is not measured of one user; use return_7d"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    names, errors = loaded(tmp_path, GOOD.replace(old, new))
    assert names == []
    assert len(errors) == 1
    assert "one.yaml: " in errors[0]
    assert said in errors[0]


def test_two_controls_and_no_yaml_harm_only_their_own_file(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text("name: [", encoding="utf-8")
    (tmp_path / "three.yml").write_text(GOOD, encoding="utf-8")
    names, errors = loaded(tmp_path, GOOD.replace("name: checkout", "name: other"))
    assert sorted(names) == ["checkout", "other"]
    assert len(errors) == 1
    assert "two.yaml: cannot be read as YAML" in errors[0]


def test_what_owner_and_description_say_changes_no_result(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(GOOD, encoding="utf-8")
    before = load_experiments(tmp_path).by_name["checkout"].version
    (tmp_path / "one.yaml").write_text(GOOD.replace("nadia", "luis") + "description: new\n", encoding="utf-8")
    assert load_experiments(tmp_path).by_name["checkout"].version == before
    (tmp_path / "one.yaml").write_text(GOOD.replace("window: 7d", "window: 2w"), encoding="utf-8")
    assert load_experiments(tmp_path).by_name["checkout"].version != before


@pytest.mark.parametrize(
    ("name", "kind", "label", "is_share", "bad"),
    [
        ("return_14d", "return", "14-day return", True, "down"),
        ("uses:Café finder", "uses", "Use of Café finder", True, "down"),
        ("count:share", "count", "share per person", False, "down"),
        ("crash_rate", "registry", "Crash rate", True, "up"),
        ("latency_p95_ms", "registry", "Latency p95", False, "up"),
        ("slow_share", "slow_share", "Share of events over the latency objective", True, "up"),
    ],
)
def test_names_mean_metrics(name: str, kind: str, label: str, is_share: bool, bad: str) -> None:
    metric = parse_metric_name(name)
    assert (metric.kind, metric.label, metric.is_share, metric.bad_direction) == (kind, label, is_share, bad)


@pytest.mark.parametrize("name", ["return_0d", "return_91d", "uses:", "sum:price", "sum:properties.", "adoption_rate"])
def test_names_that_mean_nothing_say_so(name: str) -> None:
    with pytest.raises(MetricNameError):
        parse_metric_name(name)
