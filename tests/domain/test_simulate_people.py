"""Simulated people: what the truth says of exposures, arms, losses and take-up is what stands in the logs."""

import csv
import hashlib
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from quality_assets.simulate import PeoplePlan, SimulationPlan, SimulationResult, simulate
from quality_assets.simulate.people import People
from quality_assets.simulate.people_plan import Arm, Experiment, FeatureEffect

HALVES = (Arm("control", 0.5), Arm("test", 0.5))
EXPERIMENTS = (
    Experiment("quiz", 2, 9, (Arm("control", 0.5), Arm("short", 0.5, 0.0, 0.3)), feature="Quiz"),
    Experiment("badge", 2, 9, HALVES, hidden_on="Web"),
    Experiment("hello", 2, 9, HALVES, property_key="hello_test", double_share=0.5),
    Experiment("late", 10, 30, HALVES, feature="Quiz", lost_event="quiz_completed", lost_share=0.5),
)
PLAN = SimulationPlan(
    days=14, features=8, events_per_day=3000, seed=3, dirt_share=0.0, late_share=0.0, incidents=(),
    people=PeoplePlan(1500, experiments=EXPERIMENTS),
)  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> SimulationResult:
    return simulate(PLAN, tmp_path_factory.mktemp("people"))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def events(written: SimulationResult) -> list[dict[str, str]]:
    return [row for path in written.log_files for row in table(path)]


def digest(out: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(out.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(out)).encode() + path.read_bytes())
    return found.hexdigest()


def test_a_seed_without_people_gives_the_bytes_that_it_always_gave(tmp_path: Path) -> None:
    simulate(SimulationPlan(days=5, features=12, events_per_day=1500, seed=5, dirt_share=0.08), tmp_path)
    assert digest(tmp_path) == "089a772fc419b20bd2ed6418f1d053cca1abc7b0b9978cb8429de59c913a84a4"


def test_a_seed_with_people_gives_the_same_bytes_twice(written: SimulationResult, tmp_path: Path) -> None:
    simulate(PLAN, tmp_path)
    assert digest(tmp_path) == digest(written.out)


def test_who_the_truth_calls_exposed_is_who_carries_the_arm(
    written: SimulationResult, events: list[dict[str, str]]
) -> None:
    truth = {(r["experiment"], r["user_id"]): r for r in table(written.out / "exposures.csv")}
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    first: dict[tuple[str, str], str] = {}
    for row in events:
        arm = row["variant"]
        if '"hello_test"' in row["properties"]:
            seen["hello", row["user_id"]].add(row["properties"].split('"')[3])
            first.setdefault(("hello", row["user_id"]), row["event_time"][:10])
        if arm:
            name, _, which = arm.partition(":")
            seen[name, row["user_id"]].add(which)
            first.setdefault((name, row["user_id"]), row["event_time"][:10])
    assert set(seen) == set(truth)
    for key, arms in seen.items():
        assert first[key] == truth[key]["exposed_on"]
        assert len(arms) == 1 or truth[key]["sees_both"] == "1"
        assert truth[key]["sees_both"] == "1" or arms == {truth[key]["arm"]}
    assert any(len(arms) == 2 for arms in seen.values())


def test_an_arm_that_is_hidden_on_a_platform_is_missing_there(events: list[dict[str, str]]) -> None:
    arms = Counter((r["platform"], r["variant"]) for r in events if r["variant"].startswith("badge:"))
    assert arms["Web", "badge:test"] == 0
    assert arms["Web", "badge:control"] > 0
    assert arms["iOS", "badge:test"] > 0


def test_rows_that_an_arm_loses_are_those_that_say_no_status(
    written: SimulationResult, events: list[dict[str, str]]
) -> None:
    lost = {row["event_id"] for row in table(written.out / "lost_rows.csv")}
    broken = [row for row in events if row["status"] == "undefined"]
    assert {row["event_id"] for row in broken} == lost
    assert {(row["variant"], row["event_name"]) for row in broken} == {("late:test", "quiz_completed")}


def test_a_step_of_the_quiz_comes_after_the_one_before(events: list[dict[str, str]]) -> None:
    quiz = [row for row in events if row["feature"] == "Quiz"]
    steps = Counter(row["event_name"] for row in quiz)
    assert (
        steps["quiz_started"]
        > steps["slider_adjusted"]
        > steps["option_selected"]
        > steps["quiz_completed"]
        >= steps["result_viewed"]
        > steps["result_shared"]
        > 0
    )
    started: dict[str, str] = {}
    for row in quiz:
        if row["event_name"] == "quiz_started":
            started.setdefault(row["session_id"], row["event_time"])
    assert all(row["event_time"] >= started[row["session_id"]] for row in quiz)


def test_an_arm_that_helps_people_finish_does(events: list[dict[str, str]]) -> None:
    by_arm = Counter((r["variant"], r["event_name"]) for r in events if r["variant"].startswith("quiz:"))
    rate = {
        arm: by_arm[f"quiz:{arm}", "quiz_completed"] / by_arm[f"quiz:{arm}", "option_selected"]
        for arm in ("control", "short")
    }
    assert rate["short"] > rate["control"] + 0.08


def test_whoever_was_invited_names_somebody_who_was_there_before(
    written: SimulationResult, events: list[dict[str, str]]
) -> None:
    people = {row["user_id"]: row for row in table(written.out / "people.csv")}
    accepted = [row for row in events if row["event_name"] == "invite_accepted"]
    assert accepted
    for row in accepted:
        inviter = row["properties"].split('"')[3]
        assert people[row["user_id"]]["invited_by"] == inviter
        assert people[inviter]["joined_on"] < people[row["user_id"]]["joined_on"]


def test_what_is_taken_up_by_chance_changes_how_often_its_people_come() -> None:
    """A feature that doubles how often people come: theirs against those who took up one that does nothing."""
    plan = PeoplePlan(
        6000,
        effects=(FeatureEffect("doubles", "random", 1.0, 0.1), FeatureEffect("nothing", "random", 0.0, 0.1)),
        experiments=(),
    )
    people = People(1, 30, 0, 200.0, plan)
    came_after = {0: [0, 0], 1: [0, 0]}
    for day in range(30):
        came = people.live(day)
        for index in (0, 1):
            since = day - people.adopted_day[index]
            recent = (people.adopted_day[index] >= 0) & (since >= 1) & (since <= 7)
            came_after[index][0] += int(recent[came.person].sum())
            came_after[index][1] += int((recent & (people.traits.death_day > day)).sum())
        people.adopters(came, day, came.sessions > 0)
        people.end(came)
    share = {index: here / there for index, (here, there) in came_after.items()}
    # Part of those who took up the other have both, and come the more for it: the ratio lies below two.
    assert 1.25 < share[0] / share[1] < 2
    assert people.true_gain[0].mean() > 0.05
    assert not people.true_gain[1].any()


def test_days_of_people_are_lived_in_order() -> None:
    people = People(1, 5, 0, 10.0, PeoplePlan(50))
    people.live(0)
    with pytest.raises(ValueError, match="day 1 is next, not 3"):
        people.live(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Experiment("e", 0, 3, (Arm("a", 0.5), Arm("b", 0.4))), "add up to 1"),
        (lambda: Experiment("e", 4, 3, HALVES), "last_day must not lie before"),
        (lambda: FeatureEffect("f", "random", -1.0), "effect must be above -1"),
        (lambda: PeoplePlan(0), "users must be 1"),
    ],
)
def test_what_cannot_be_simulated_says_why(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
