"""What nobody means to send, and what each gets: asked of the commands, over a root that has all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from typer.testing import CliRunner, Result
from user_logs import Event, build_impact, by_day, day_number, define, define_nothing, put_days

from quality_assets.cli.main import app
from quality_assets.read.reader import Reader
from quality_assets.settings import Settings
from quality_assets.stores.snapshots import Snapshot
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.experiments.build import build_experiments
from tests.conftest import new_settings

DAYS = 40
EXPERIMENT = """
name: {name}
owner: me
variants_from: variant
arms: {{control: 0.5, test: {weight}}}
control: control
start: 2026-03-01
end: 2026-03-20
window: {window}
metrics: {{primary: [return_7d]}}
"""
FUNNEL = "name: {0}\nowner: me\nwindow: 2d\nsteps: [{{event_name: look}}, {{{1}}}]\n"


def _dealt(name: str, user: int, day: int) -> Event:
    arm = "test" if user % 2 else "control"
    return Event(at=day * 86_400 + user, user_id=f"{name}-{user}", event_name="look", variant=f"{name}:{arm}")


def _events() -> list[Event]:
    experiments = ("few", "changed", "loose")
    events = [_dealt(name, user, user // 2 % 12) for name in experiments for user in range(400)]
    # One stray in `few`, a third arm from the sixth day on in `changed`.
    events.append(Event(at=5 * 86_400, user_id="few-stray", event_name="look", variant="few:other"))
    events += [
        Event(at=(5 + n % 7) * 86_400 + n, user_id=f"new-{n}", event_name="look", variant="changed:other")
        for n in range(60)
    ]
    events += [Event(at=n * 3_600, user_id=f"bare-{n}", event_name="look", variant="blue") for n in range(50)]
    # A machine, events of nobody, a client whose clock is ahead, and properties that lack the key.
    events += [Event(at=30 * 86_400 + n, user_id="robot", event_name="look") for n in range(2_001)]
    events += [Event(at=day * 86_400 + 5, user_id=None, event_name="pay") for day in range(DAYS)]
    events += [Event(at=day * 86_400 + 6, user_id="ann", event_name=name) for day in range(DAYS) for name in "abc"]
    events += [
        Event(at=day * 86_400 + 7, user_id="ann", event_name="sign", properties=said)
        for day in range(DAYS)
        for said in ('{"kind": "card"}', '{"other": 1}', None)
    ]
    return [*events, Event(at=60, user_id="ann", event_name="look", received_after_s=-90)]


def _define(settings: Settings) -> None:
    define_nothing(settings)
    define(settings, "funnels/nobody.yaml", FUNNEL.format("nobody", "event_name: pay"))
    define(settings, "funnels/kinds.yaml", FUNNEL.format("kinds", "event_name: sign, where: {kind: card}"))
    for name, weight, window in (
        ("few", 0.5, "7d"), ("changed", 0.5, "7d"), ("unseen", 0.5, "7d"), ("light", 0.4, "7d"), ("long", 0.5, "91d"),
    ):  # fmt: skip
        define(settings, f"experiments/{name}.yaml", EXPERIMENT.format(name=name, weight=weight, window=window))
    twice = EXPERIMENT.format(name="twice", weight=0.5, window="7d").replace("control: control", "control: [a, b]")
    define(settings, "experiments/twice.yaml", twice)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseSession]:
    settings = new_settings(tmp_path_factory.mktemp("bad") / "data")
    settings.data_dir.mkdir()
    _define(settings)
    with open_warehouse(settings) as opened:
        put_days(opened, by_day(_events()))
        build_impact(opened)
        build_experiments(opened)
        yield opened


@pytest.fixture(scope="module")
def reader(session: WarehouseSession) -> Reader:
    snapshot = Snapshot("v", datetime(2026, 4, 12, 6), day_number(DAYS - 1), "run", "fingerprint", Path("nowhere"))
    with patch.dict(Reader.__init__.__globals__, open_snapshot=lambda _: session.connection):
        return Reader(snapshot)


def asked(session: WarehouseSession, reader: Reader, *arguments: str) -> Result:
    with (
        patch("quality_assets.cli.impact._reader", lambda: reader),
        patch("quality_assets.cli.experiments.root_settings", lambda: session.settings),
        patch("quality_assets.stores.snapshots.current_snapshot", lambda _: reader.snapshot),
        patch("quality_assets.read.reader.open_reader", lambda _: reader),
    ):
        return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("light", "arms: weights sum to 0.9, not to 1"),
        ("long", "window: '91d' is longer than 90 days"),
        ("twice", "control: has 2 arms; exactly one arm is the control"),
        ("fewer", "there is no experiment 'fewer', neither in data/experiments nor in events; there are few"),
    ],
)
def test_a_wrong_experiment_is_told_its_key(session: WarehouseSession, reader: Reader, name: str, said: str) -> None:
    result = asked(session, reader, "experiment", name)
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())


def whole(session: WarehouseSession, reader: Reader, name: str) -> dict[str, object]:
    result = asked(session, reader, "experiment", name, "--format", "json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.output)
    return found


def test_arms_without_an_experiment_and_experiments_without_a_file_have_health_and_no_verdict(
    session: WarehouseSession, reader: Reader
) -> None:
    for name, said in (
        ("unnamed", "Not declared: 50 in blue."),
        ("loose", "Not declared: 200 in control, 200 in test."),
    ):
        found = whole(session, reader, name)
        assert found["state"] == "undeclared"
        assert str(found["verdict"]).startswith(said)
        assert found["results"] == []
        assert found["health"]


def test_nobody_who_saw_it_is_said_with_the_day(session: WarehouseSession, reader: Reader) -> None:
    found = whole(session, reader, "unseen")
    assert (found["verdict"], found["exposed"]) == ("No exposures since 2026-03-01.", 0)


def test_a_stray_arm_is_left_out_and_counted(session: WarehouseSession, reader: Reader) -> None:
    found = whole(session, reader, "few")
    assert found["left_out"] == [{"reason": "arm not declared", "people": 1}]
    assert found["grade"] != "D"


def test_an_arm_that_is_added_voids_from_its_day(session: WarehouseSession, reader: Reader) -> None:
    found = whole(session, reader, "changed")
    assert found["grade"] == "D"
    assert "Arms changed on 2026-03-06: other was added, which is not declared. Void from that day." in str(
        found["verdict"]
    )
    assert all(row["mean"] is None and row["diff"] is None for row in found["results"])  # type: ignore[attr-defined]


def test_events_of_nobody_make_a_funnel_unknown_and_not_nought(session: WarehouseSession, reader: Reader) -> None:
    said = asked(session, reader, "funnel", "nobody").output
    assert "Unknown: 100 % of the events of pay have no user. A funnel by session may say more" in said
    assert " 0 %" not in said


def test_machines_and_lacking_properties_are_counted_and_left_out(session: WarehouseSession, reader: Reader) -> None:
    said = " ".join(asked(session, reader, "funnel", "kinds").output.split())
    assert "2,001 of automated users are left out" in said
    counted = session.connection.execute(
        "select sum(events), sum(events_without_property) from impact.funnel_step_days"
        " where funnel = 'kinds' and step = 2"
    ).fetchall()
    assert counted == [(DAYS, 2 * DAYS)]


def test_a_clock_that_is_ahead_is_counted(session: WarehouseSession) -> None:
    early = session.connection.execute("select sum(events_received_early) from impact.event_days").fetchall()
    assert early == [(1,)]
