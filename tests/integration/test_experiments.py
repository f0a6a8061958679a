"""Experiments from logs to verdicts: planted effects and faults are told as what they are, mistakes as well."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from quality_assets.cli.main import app
from quality_assets.settings import Settings, get_settings
from quality_assets.simulate import PeoplePlan, SimulationPlan, simulate
from quality_assets.simulate.people_plan import Arm, Experiment
from quality_assets.stores.landing import place
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.experiments.build import build_experiments, experiments_are_stale
from quality_assets.tables.impact.events_seen import build_event_days

HALVES = (Arm("control", 0.5), Arm("test", 0.5))
EXPERIMENTS = (
    Experiment("effect", 2, 9, (Arm("control", 0.5), Arm("test", 0.5, 2.0))),
    Experiment("hidden", 2, 9, HALVES, hidden_on="Android"),
    Experiment("both", 2, 9, HALVES, property_key="both_test", double_share=0.5),
    Experiment("lossy", 2, 9, HALVES, feature="Quiz", lost_event="quiz_completed", lost_share=0.6),
    Experiment("runs", 12, 40, HALVES, feature="Quiz"),
    Experiment("nobody_declared", 12, 17, HALVES),
)


@pytest.fixture(scope="module")
def root(
    tmp_path_factory: pytest.TempPathFactory,
    ingest_all: Callable[[WarehouseSession], object],
    build_all: Callable[..., None],
) -> Settings:
    out = tmp_path_factory.mktemp("simulated")
    plan = SimulationPlan(
        days=18, features=6, events_per_day=2500, seed=8, incidents=(), start_date=date(2026, 3, 2),
        people=PeoplePlan(1600, experiments=EXPERIMENTS, quiz_share=0.3),
    )  # fmt: skip
    simulate(plan, out)
    data_dir = tmp_path_factory.mktemp("experiments") / "data"
    shutil.copytree(out / "definitions" / "experiments", data_dir / "experiments")
    (data_dir / "experiments" / "nobody_declared.yaml").unlink()
    write(data_dir, "unseen", {**read(data_dir, "runs"), "name": "unseen", "start": date(2026, 3, 5)})
    over = {"name": "over", "start": date(2026, 3, 5), "end": date(2026, 3, 8), "window": "7d"}
    write(data_dir, "over", {**read(data_dir, "runs"), **over})
    write(data_dir, "wrong", {**read(data_dir, "runs"), "name": "wrong", "arms": {"control": 0.5, "test": 0.4}})
    settings = Settings(data_dir=data_dir, file_stable_s=0, threads=2, _env_file=None)  # type: ignore[call-arg]
    place([out / "logs"], settings.landing_dir)
    with open_warehouse(settings) as session:
        ingest_all(session)
        build_all(session)
        build_event_days(session, lambda _: None)
        build_experiments(session)
    return settings


def read(data_dir: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((data_dir / "experiments" / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def write(data_dir: Path, name: str, content: dict[str, Any]) -> None:
    (data_dir / "experiments" / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.fixture(scope="module")
def found(root: Settings) -> dict[str, dict[str, Any]]:
    with open_warehouse(root) as session:
        rows = session.connection.execute("select * from impact.experiments").df()
    return {row["experiment"]: row for row in rows.to_dict("records")}


def asked(root: Settings, query: str) -> list[tuple[Any, ...]]:
    with open_warehouse(root) as session:
        return session.connection.execute(query).fetchall()


def test_a_true_effect_is_found_at_the_end(root: Settings, found: dict[str, dict[str, Any]]) -> None:
    assert (found["effect"]["state"], found["effect"]["grade"]) == ("final", "A")
    assert found["effect"]["verdict"].startswith("Better: 7-day return ")
    rows = asked(
        root,
        "select arm, n, sum, mean, low, high, verdict, is_final from impact.experiment_results"
        " where experiment = 'effect' and metric = 'return_7d' order by is_control desc",
    )
    (_, n, total, mean, low, _, _, _), (arm, _, _, there, below, above, verdict, is_final) = rows
    assert mean == pytest.approx(total / n)
    assert low is None
    assert (arm, verdict, is_final) == ("test", "better", True)
    assert 0 < below < there - mean + 0.05 < above + 0.05


def test_void_experiments_show_no_numbers(root: Settings, found: dict[str, dict[str, Any]]) -> None:
    assert {name for name, row in found.items() if row["grade"] == "D"} == {"hidden", "both", "lossy"}
    assert "All of the missing ones are on platform Android, which never shows test." in found["hidden"]["verdict"]
    assert "saw more than one arm" in found["both"]["verdict"]
    assert "of quiz_completed lost in test" in found["lossy"]["verdict"]
    rows = asked(
        root,
        "select count(*), count(mean), count(diff), count(p), count(sum), min(n),"
        " count(*) filter (where verdict = 'void' or is_control) from impact.experiment_results where grade = 'D'",
    )
    total, *numbers, least, said = rows[0]
    assert numbers == [0, 0, 0, 0]
    assert least > 0
    assert said == total


def test_what_runs_is_told_by_the_always_valid_interval(root: Settings, found: dict[str, dict[str, Any]]) -> None:
    assert found["runs"]["state"] == "running"
    assert "day 6 of 29" in found["runs"]["verdict"]
    rows = asked(root, "select distinct is_final, verdict from impact.experiment_results where experiment = 'runs'")
    assert {final for final, _ in rows} == {False}
    assert not {verdict for _, verdict in rows} & {"better", "worse", "no difference found"}


def test_what_is_not_declared_is_listed_with_health_only(root: Settings, found: dict[str, dict[str, Any]]) -> None:
    row = found["nobody_declared"]
    assert row["state"] == "undeclared"
    assert row["verdict"].startswith("Not declared: ")
    counted = asked(
        root,
        "select (select count(*) from impact.experiment_results where experiment = 'nobody_declared'),"
        " (select count(*) from impact.experiment_health where experiment = 'nobody_declared')",
    )[0]
    assert counted[0] == 0
    assert counted[1] > 0


def test_a_declared_one_that_nobody_saw_and_a_wrong_file_say_so(found: dict[str, dict[str, Any]]) -> None:
    assert found["unseen"]["verdict"] == "No exposures since 2026-03-05."
    assert (found["unseen"]["state"], found["over"]["state"]) == ("running", "final")
    assert found["wrong"]["state"] == "invalid"
    assert "weights sum to 0.9, not to 1" in found["wrong"]["verdict"]


def test_exposures_are_those_of_the_results_and_of_the_truth(root: Settings) -> None:
    rows = asked(
        root,
        "select experiment, count(*) filter (where reason_excluded is null), any_value(people) from"
        " impact.experiment_exposures join (select experiment, sum(n + open) as people from impact.experiment_results"
        " where role = 'primary' group by experiment) using (experiment) group by experiment",
    )
    assert len(rows) == 5
    assert all(included == people for _, included, people in rows)


def test_nothing_is_computed_again_until_a_file_changes(root: Settings) -> None:
    with open_warehouse(root) as session:
        assert not experiments_are_stale(session)
        computed: list[str] = []
        build_experiments(session, computed.append)
        assert computed == []
        before = read(root.data_dir, "runs")
        write(root.data_dir, "runs", {**before, "arms": {"control": 0.5, "test": 0.25, "third": 0.25}})
        assert experiments_are_stale(session)
        build_experiments(session, computed.append)
        assert computed == ["experiment runs"]
        write(root.data_dir, "runs", before)
        build_experiments(session, computed.append)
        assert not experiments_are_stale(session)


def test_the_command_says_what_is_wrong_where_there_is_nothing_to_print(data_root: Settings, root: Settings) -> None:
    shutil.copytree(root.data_dir / "experiments", data_root.data_dir / "experiments")
    get_settings.cache_clear()
    runner = CliRunner()
    wrong = runner.invoke(app, ["experiment", "wrong"])
    assert wrong.exit_code == 1
    assert "wrong.yaml: arms: weights sum to 0.9, not to 1" in wrong.output
    waits = runner.invoke(app, ["experiment", "effect"])
    assert waits.exit_code == 1
    assert "nothing is computed of it yet" in waits.output
    none = runner.invoke(app, ["experiment", "efect"])
    assert none.exit_code == 1
    assert "there is no experiment 'efect'" in none.output
    assert "effect" in none.output.partition("; there are ")[2]
