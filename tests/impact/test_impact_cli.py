"""The commands about use, and the routes: what is right, and what each wrong name and definition is told."""

from __future__ import annotations

import json
from unittest.mock import patch

import pytest
from typer.testing import CliRunner, Result

from quality_assets.cli.main import app
from quality_assets.read import impact, impact_changes, impact_events
from quality_assets.read.reader import Reader


def asked(reader: Reader, *arguments: str) -> Result:
    with patch("quality_assets.cli.impact._reader", lambda: reader):
        return CliRunner().invoke(app, list(arguments))


def test_a_funnel_as_json_is_its_rows_with_their_verdicts(reader: Reader) -> None:
    result = asked(reader, "funnel", "buy", "--format", "json")
    assert result.exit_code == 0
    rows = json.loads(result.output)
    last = [row for row in rows if row["step"] == 2 and row["segment"] is None]
    assert (last[0]["entered"], last[0]["reached"], last[0]["from_start"], last[0]["verdict"]) == (2, 1, 0.5, "final")
    assert last[-1]["from_start"] is None
    assert last[-1]["verdict"] == "still open: 1 of 2 entries have days left"
    assert {row["value"] for row in rows if row["segment"] == "platform"} == {"ios"}


def test_a_funnel_says_who_finishes_and_what_is_open(reader: Reader) -> None:
    said = asked(reader, "funnel", "buy").output
    assert "Of 2 users who began between 11 Mar 2026 and 7 Apr 2026, 1 (50 %) reached the last step, pay." in said
    assert "Each user counts once, by the first entry of those days." in said
    assert "Still open: 2 of 4 entries after 7 Apr 2026 have days left; none of these is counted above." in said


def test_a_dead_step_says_since_when(reader: Reader) -> None:
    result = asked(reader, "funnel", "dead")
    assert result.exit_code == 0
    assert "step 2, rate: no such event since 3 Mar 2026" in result.output
    assert " 0 %" not in result.output


@pytest.mark.parametrize(
    ("command", "name", "said"),
    [
        ("funnel", "bye", "there is no funnel 'bye'; the nearest names are buy"),
        ("funnel", "typo", "steps.1.event_name: 'lok' was never seen; the nearest names are look, rate, pay"),
        ("funnel", "same", "steps 1 and 2 are the same events"),
        ("funnel", "long", "window: 91d is not between 1m and 90d"),
        ("segment", "kean", "there is no segment 'kean'; the nearest names are keen, ever"),
        ("segment", "ever", "all.0.active_days.within: is missing"),
        ("retention", "Serch", "there is no feature 'Serch'; the nearest names are Search"),
    ],
)
def test_a_wrong_name_or_definition_is_told_what_is_wrong(reader: Reader, command: str, name: str, said: str) -> None:
    result = asked(reader, command, name)
    assert result.exit_code == 1
    assert said in result.output


def test_where_no_use_is_published_yet_the_command_that_makes_it_is_named(reader: Reader) -> None:
    told = "no funnel 'buy', nor any other in what is published: `quality run` makes those"
    with patch.object(impact, "definitions", lambda reader, kind: []), pytest.raises(KeyError, match=told):
        impact.definition(reader, "funnel", "buy")


def test_retention_never_stands_without_its_kind(reader: Reader) -> None:
    said = asked(reader, "retention", "Search").output
    for kind in ("on day 7 exactly", "between day 7 and day 30", "on day 7 or later"):
        assert kind in said
    rows = json.loads(asked(reader, "retention", "*", "--kind", "exact", "--format", "json").output)
    assert {row["kind"] for row in rows} == {"exact"}
    assert (rows[0]["eligible"], rows[0]["returned"]) == (2, 2)
    assert rows[0]["verdict"].startswith("people already there")


def test_a_segment_says_how_many_and_as_of_when(reader: Reader) -> None:
    assert "2 members on 9 Apr 2026: 0 came, 0 went." in asked(reader, "segment", "keen").output
    rows = json.loads(asked(reader, "segment", "keen", "--format", "json").output)
    assert [(row["members"], row["entered"]) for row in rows[:2]] == [(0, 0), (2, 2)]


def test_what_pages_ask_for_is_there(reader: Reader) -> None:
    (search,) = impact.adoption(reader)
    assert (search["feature"], search["adoption"], search["mau"]) == ("Search", 1.0, 2)
    assert impact_changes.adoption_changes(reader) == {}
    assert impact.doubtful_days(reader) == frozenset()
    assert [row["segment"] for row in impact.segments(reader)] == ["ever", "keen"]
    assert {row["event_name"] for row in impact_events.catalogue(reader)} == {"look", "pay", "rate"}
    (split,) = impact.funnel_splits(reader, "buy")
    assert (split["segment"], split["value"], split["rate"], split["sentence"]) == ("platform", "ios", 0.5, None)
    assert "dead" not in impact_changes.funnel_changes(reader)
    assert impact.adoption_curve(reader, "Search")[0]["share"] == 1.0
    assert impact.left_out_note(reader, "*", "exact").startswith("All from the first 28 days")
