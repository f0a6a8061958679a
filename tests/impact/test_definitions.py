"""What people define in YAML: what each wrong file is told, what it does to others, and what an edit rebuilds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from user_logs import Event, build_impact, by_day, day_number, define, define_nothing, put_days

from quality_assets.contracts.definitions import Funnel, Segment, Sharing, from_spec, load_file, load_folder
from quality_assets.contracts.impact import FUNNEL_DAYS, FUNNEL_ENTRIES
from quality_assets.contracts.users import USER_DAYS
from quality_assets.domain.impact.impact_words import WAITS
from quality_assets.settings import REPOSITORY_ROOT
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.impact.defined import definitions_off, load_all, refresh_definitions
from quality_assets.tables.impact.due import is_impact_due
from quality_assets.tables.lake_accounts import lake_faults
from quality_assets.tables.staleness import published_fingerprint, stale_parts
from tests.conftest import new_settings

BUY = """
name: buy
owner: me
steps:
  - {event_name: look}
  - {event_name: pay}
"""


def funnel_error(tmp_path: Path, text: str) -> str:
    path = tmp_path / "funnels" / "buy.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return load_file(path, Funnel).error or ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BUY + "window: 91d\n", "window: 91d is not between 1m and 90d"),
        (BUY + "window: soon\n", "window: 'soon' is not a period such as 7d, 12h or 30m"),
        (BUY + "unit: person\n", "unit: 'person' is not one of user, session"),
        (BUY + "segments: [shoe]\n", "segments: 'shoe' is not one of platform, device"),
        (BUY + "colour: red\n", "colour: is not one of name, owner, description, unit, window, steps, segments"),
        (BUY.replace("pay", "look"), "steps: steps 1 and 2 are the same events"),
        (BUY.replace("  - {event_name: pay}\n", ""), "steps: tuple should have at least 2 items"),
        (
            BUY.replace("{event_name: pay}", "{where: {kind: card}}"),
            "steps.1: names neither a feature nor an event_name",
        ),
        (BUY.replace("{event_name: pay}", "{event: pay}"), "steps.1.event: is not one of feature, event_name, where"),
        (BUY.replace("owner: me\n", ""), "owner: is missing"),
        (BUY.replace("name: buy", "name: a/b"), "name: 'a/b' is not written in letters, digits, _ . and -"),
        ("- 1", "holds no keys"),
        ("name: [", "cannot be read as YAML"),
    ],
)
def test_a_wrong_funnel_is_told_its_file_its_key_and_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    error = funnel_error(tmp_path, text)
    assert said in error
    assert f"{tmp_path.name}/funnels/buy.yaml: " in error


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ("- active_days: {at_least: 2, within: 91d}", "all.0.active_days.within: 91d is not between 1m and 90d"),
        ("- active_days: {at_least: 2}", "all.0.active_days.within: is missing"),
        ("- active_days: {within: 7d}", "all.0.active_days: needs at_least, at_most, or both"),
        ("- uses: {at_least: 2, within: 12h, feature: a}", "all.0.uses.within: 12h is not a number of whole days"),
        ("- shoe_size: 40", "all.0.shoe_size: is not one of active_days, uses, not_used, tenure, score, platform"),
        ("- score: {band: [dire]}", "'dire' is not one of high, middle, low"),
        ("- score: {at_least: 1.5}", "all.0.score.at_least: input should be less than or equal to 1, not '1.5'"),
        ("- score: {at_least: 0.9, at_most: 0.1}", "all.0.score: at_least 0.9 is more than at_most 0.1"),
        ("- score: {}", "all.0.score: needs band, at_least or at_most"),
        ("- {platform: ios, country: de}", "all.0: has 2 keys; exactly one of active_days"),
    ],
)
def test_a_segment_without_a_bounded_look_back_is_an_error(tmp_path: Path, conditions: str, said: str) -> None:
    path = tmp_path / "keen.yaml"
    path.write_text(f"name: keen\nowner: me\nall:\n  {conditions}\n", encoding="utf-8")
    assert said in (load_file(path, Segment).error or "")


def test_a_file_is_named_from_its_data_root_on(tmp_path: Path) -> None:
    root = tmp_path / "above" / "root"
    (root / "funnels").mkdir(parents=True)
    for path, model, folders in ((root / "funnels" / "buy.yaml", Funnel, 1), (root / "sharing.yaml", Sharing, 0)):
        path.write_text("owner: [", encoding="utf-8")
        loaded = load_file(path, model, folders)
        assert loaded.path == path.relative_to(tmp_path / "above").as_posix()
        assert (loaded.error or "").startswith(f"{loaded.path}: ")
    settings = new_settings(root)
    assert {each.path for each in load_all(settings)} >= {"root/funnels/buy.yaml", "root/sharing.yaml"}


def test_two_files_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(BUY, encoding="utf-8")
    first, second = load_folder(tmp_path, Funnel)
    assert (first.name, first.error) == ("buy", None)
    assert "'buy' is already the name of another funnel" in (second.error or "")


def test_a_definition_survives_its_way_through_the_warehouse(tmp_path: Path) -> None:
    path = tmp_path / "buy.yaml"
    path.write_text(BUY + "window: 90m\nsegments: [platform]\nunit: session\n", encoding="utf-8")
    loaded = load_file(path, Funnel)
    again = from_spec(Funnel, loaded.spec)
    assert (again.window, again.unit, again.segments) == (timedelta(minutes=90), "session", ("platform",))
    assert (again.version, again.reach_days) == (loaded.version, 1)
    other_words = load_file(path, Funnel)
    path.write_text(path.read_text() + "description: in other words\n", encoding="utf-8")
    assert load_file(path, Funnel).version == other_words.version
    keen = tmp_path / "keen.yaml"
    keen.write_text(
        "name: keen\nowner: me\nall:\n  - tenure: {at_most: 13d}\n  - uses: {feature: a, at_least: 2, within: 7d}\n",
        encoding="utf-8",
    )
    segment = from_spec(Segment, load_file(keen, Segment).spec)
    assert segment.all[0].tenure is not None
    assert segment.all[0].tenure.at_most == 13
    assert segment.all[1].uses is not None
    assert (segment.all[1].uses.at_least, segment.all[1].uses.within) == (2, 7)


def test_what_is_shipped_can_be_used() -> None:
    data = REPOSITORY_ROOT / "data"
    loaded = [*load_folder(data / "funnels", Funnel), *load_folder(data / "segments", Segment)]
    loaded.append(load_file(data / "sharing.yaml", Sharing))
    assert [each.error for each in loaded if each.error] == []
    assert {"quiz", "regulars", "sharing"} <= {each.name for each in loaded}


@pytest.fixture
def session(tmp_path: Path) -> Iterator[WarehouseSession]:
    """A warehouse of eight days on which two people look, and one pays."""
    settings = new_settings(tmp_path / "data")
    settings.data_dir.mkdir()
    define_nothing(settings)
    (settings.data_dir / "sharing.yaml").unlink()
    events = [
        Event(at=day * 86_400 + 60, user_id=user, event_name=name)
        for day in range(8)
        for user, name in (("ann", "look"), ("bob", "look"), ("ann", "pay"))
    ]
    with open_warehouse(settings) as opened:
        define(settings, "funnels/buy.yaml", BUY + "window: 2d\n")
        put_days(opened, by_day(events))
        build_impact(opened)
        yield opened


def test_a_name_that_was_never_seen_is_told_the_nearest_three_and_nothing_is_built(session: WarehouseSession) -> None:
    define(session.settings, "funnels/typo.yaml", BUY.replace("name: buy", "name: typo").replace("look", "lok"))
    define(
        session.settings,
        "funnels/other.yaml",
        BUY.replace("name: buy", "name: other").replace("look", "x").replace("pay", "y"),
    )
    errors = {each.name: each.error for each in refresh_definitions(session) if each.kind == "funnel"}
    assert errors["buy"] is None
    assert errors["typo"] == (
        "data/funnels/typo.yaml: steps.1.event_name: 'lok' was never seen; the nearest names are look, pay"
    )
    # Nothing of the other was ever seen: it may be of another product, and is no alarm.
    assert str(errors["other"]).startswith(WAITS)
    assert definitions_off(session) == [errors["typo"]]
    odd = "name: odd\nowner: me\nvariants_from: variant\narms: {grey: 1, blue: 1}\ncontrol: grey\n"
    odd += "start: 2026-01-01\nend: 2026-01-31\nwindow: 7d\nmetrics: {primary: [crash_rate]}\n"
    define(session.settings, "experiments/odd.yaml", odd)
    of_funnel, of_experiment = definitions_off(session)
    assert of_funnel == errors["typo"]
    assert "experiments/odd.yaml: arms: weights sum to 2, not to 1" in of_experiment
    build_impact(session)
    built = session.connection.execute("select distinct funnel from impact.funnel_days").fetchall()
    assert built == [("buy",)]


def test_an_edit_rebuilds_what_it_defines_and_readers_hear_of_it(session: WarehouseSession) -> None:
    define(session.settings, "funnels/late.yaml", BUY.replace("name: buy", "name: late"))
    assert is_impact_due(session)
    build_impact(session)
    assert not is_impact_due_but_for_checks(session)
    before = published_fingerprint(session.connection)
    define(session.settings, "funnels/late.yaml", BUY.replace("name: buy", "name: late") + "window: 1d\n")
    refresh_definitions(session)
    for table in (FUNNEL_ENTRIES, FUNNEL_DAYS):
        assert set(stale_parts(session.connection, table)) <= {"late"}
    assert set(stale_parts(session.connection, FUNNEL_ENTRIES)["late"]) == {day_number(n) for n in range(8)}
    build_impact(session)
    assert published_fingerprint(session.connection) != before
    (session.settings.data_dir / "funnels" / "late.yaml").unlink()
    build_impact_again(session)
    assert session.connection.execute("select distinct funnel from impact.funnel_days").fetchall() == [("buy",)]
    assert session.connection.execute("select distinct funnel from impact.funnel_entries").fetchall() == [("buy",)]


def is_impact_due_but_for_checks(session: WarehouseSession) -> bool:
    """Whether anything is stale: what is built waits for its checks, which no test asks here."""
    return any(stale_parts(session.connection, table) for table in (FUNNEL_ENTRIES, FUNNEL_DAYS))


def build_impact_again(session: WarehouseSession) -> None:
    refresh_definitions(session)
    build_impact(session)


def test_a_dead_step_has_no_rate_and_an_open_day_none_either(session: WarehouseSession) -> None:
    more = [Event(at=day * 86_400 + 60, user_id="ann", event_name="look") for day in range(40, 44)]
    put_days(session, by_day(more))
    build_impact(session)
    rows = session.connection.execute(
        "select entry_date, entered, reached, from_start, is_final, open from impact.funnel_days"
        " where funnel = 'buy' and step = 2 and segment is null order by entry_date"
    ).fetchall()
    by_date = {row[0]: row[1:] for row in rows}
    assert by_date[day_number(0)] == (2, 1, 0.5, True, 0)
    # Nobody has paid in the 28 days before day 40: that says nothing of who looked.
    assert by_date[day_number(40)] == (1, 0, None, True, 0)
    assert by_date[day_number(43)] == (1, 0, None, False, 1)


def test_events_of_nobody_of_machines_and_without_a_property_are_counted_and_left_out(
    session: WarehouseSession,
) -> None:
    define(
        session.settings,
        "funnels/card.yaml",
        BUY.replace("name: buy", "name: card").replace("{event_name: pay}", "{event_name: pay, where: {kind: card}}"),
    )
    day = 20
    at = day * 86_400
    events = [
        Event(at=at, user_id="ann", event_name="look"),
        Event(at=at + 1, user_id="ann", event_name="pay", properties='{"kind": "card"}'),
        Event(at=at + 1, user_id="ann", event_name="pay", properties='{"sort": "card"}'),
        Event(at=at + 2, user_id=None, event_name="look"),
        Event(at=at + 2, user_id=None, event_name="look"),
        *(Event(at=at + n, user_id="bot", event_name="look") for n in range(2_001)),
        *(Event(at=at + n, user_id="busy", event_name="look") for n in range(2_000)),
    ]
    put_days(session, by_day(events))
    build_impact(session)
    found = session.connection.execute(
        "select step, events, events_without_unit, events_automated, events_without_property"
        " from impact.funnel_step_days where funnel = 'card' and event_date = $day order by step",
        {"day": day_number(day)},
    ).fetchall()
    assert found == [(1, 4_004, 2, 2_001, 0), (2, 1, 0, 0, 1)]
    entered = session.connection.execute(
        "select unit, reached from impact.funnel_entries where funnel = 'card' and entry_date = $day order by unit",
        {"day": day_number(day)},
    ).fetchall()
    assert entered == [("ann", 2), ("busy", 1)]
    automated = session.connection.execute("select user_id from core.dim_users where is_automated").fetchall()
    assert automated == [("bot",)]
    assert session.connection.execute("select count(*) from core.first_uses where user_id = 'bot'").fetchall() == [(0,)]


def test_where_most_events_are_nobodys_there_is_no_rate(session: WarehouseSession) -> None:
    day = 60
    at = day * 86_400
    events = [
        Event(at=at, user_id="ann", event_name="look"),
        Event(at=at + 1, user_id="ann", event_name="pay"),
        *(Event(at=at, user_id=None, event_name="look") for _ in range(2)),
    ]
    put_days(session, by_day([*events, Event(at=at + 3 * 86_400, user_id="ann", event_name="look")]))
    build_impact(session)
    rows = session.connection.execute(
        "select step, reached, from_start from impact.funnel_days where entry_date = $day and segment is null"
        " order by step",
        {"day": day_number(day)},
    ).fetchall()
    assert rows == [(1, 1, None), (2, 1, 1.0)]


def test_sharing_is_of_who_saw_a_result_and_invitations_count_for_the_share(session: WarehouseSession) -> None:
    define(
        session.settings,
        "sharing.yaml",
        "owner: me\nshare: {event_name: share}\nresult: {event_name: result}\ninviter: properties.by\n",
    )
    at = 30 * 86_400
    events = [
        *(Event(at=at, user_id=user, event_name="result") for user in ("ann", "bob", "cyd", "dan")),
        Event(at=at + 1, user_id="ann", event_name="share"),
        Event(at=at + 1, user_id="bob", event_name="share"),
        Event(at=at + 86_400, user_id="new1", event_name="look", properties='{"by": "ann"}'),
        Event(at=at + 2 * 86_400, user_id="new2", event_name="look", properties='{"by": "ann"}'),
        # Eight days later it is not of that share any more, and whoever was there before is not new.
        Event(at=at + 8 * 86_400, user_id="new3", event_name="look", properties='{"by": "bob"}'),
        Event(at=at + 3 * 86_400, user_id="cyd", event_name="look", properties='{"by": "bob"}'),
    ]
    put_days(session, by_day(events))
    build_impact(session)
    rows = session.connection.execute(
        "select share_rate, k_factor from impact.engagement_days where event_date = $day", {"day": day_number(30)}
    ).fetchall()
    assert rows == [(0.5, 1.0)]


def test_a_file_that_is_lost_is_made_again(session: WarehouseSession) -> None:
    for table in (FUNNEL_ENTRIES, USER_DAYS):
        file = session.lake.files(table)[0]
        (session.settings.data_dir / file.path).unlink()
        assert is_impact_due(session)
        build_impact(session)
        assert lake_faults(session, table) == []
        assert session.connection.execute(f"select count(*) > 0 from {table.qualified_name}").fetchall() == [(True,)]


def test_whoever_has_not_adopted_a_feature_is_watched_until_the_last_day(session: WarehouseSession) -> None:
    # Both joined on the first day, before there was such a feature.
    more = Event(at=2 * 86_400 + 60, user_id="ann", event_name="look", feature="Late")
    of_day = [Event(at=2 * 86_400 + 60, user_id=user, event_name="look") for user in ("ann", "bob")]
    put_days(session, {day_number(2): [*of_day, more]})
    build_impact(session)
    rows = session.connection.execute(
        "select day_n, at_risk, adopted, share from impact.adoption_curve where feature = 'Late' order by day_n"
    ).fetchall()
    assert rows == [(0, 2, 1, pytest.approx(0.5)), *((n, 1, 0, pytest.approx(0.5)) for n in range(1, 6))]
