"""The pages of experiments on a small snapshot: what they say of each state, and that void shows no number."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from dash_app.components.markup import markup
from dash_app.pages import experiments as page
from quality_assets.contracts.experiments import (
    EXPERIMENT_EXPOSURES,
    EXPERIMENT_HEALTH,
    EXPERIMENT_RESULTS,
    EXPERIMENTS,
    LIFT_ESTIMATES,
)
from quality_assets.read import experiments as queries
from quality_assets.read.links import Request, experiment, experiment_of
from quality_assets.read.reader import Reader

ROWS = """\

insert into impact.experiments by name select * from (values
  ('good', date '2026-03-20', 'final', 'A', 200, 'Better: 7-day return 30.0 % instead of 20.0 %. Grade A.', []),
  ('odd & <b>', date '2026-03-20', 'final', 'D', 90, 'Void: 30 people in test, 60 in control (1 : 1 planned).',
   ['Void.']),
  ('none', null, 'planned', null, 0, 'Planned: it begins on 2026-05-01.', [])
) as t(experiment, as_of_date, state, grade, exposed, verdict, reasons),
  (select 0 as excluded, 'fp' as inputs_fingerprint, ['control', 'test'] as arms,
   date '2026-03-01' as start_date, date '2026-03-14' as end_date);
insert into impact.experiment_exposures by name select 'good' as experiment, 'u' || n as user_id,
  if(n % 2 = 0, 'control', 'test') as arm, timestamp '2026-03-01' + to_hours(n) as exposed_at, 1 as arms_seen,
  if(n = 0, 'several arms', null) as reason_excluded, false as is_existing from range(40) t(n);
insert into impact.experiment_health by name select 'good' as experiment, 'srm' as "check", 'all' as subject,
  0.4 as value, 0.001 as threshold, 'ok' as status, '100 people in test, 100 in control (1 : 1 planned).' as detail;
insert into impact.experiment_results by name
  select experiment, date '2026-03-20' as as_of_date, 'return_7d' as metric, arm, 'primary' as role,
    arm = 'control' as is_control, 100 as n, 0 as open, mean, diff, low, high, true as is_final, false as is_cuped,
    verdict, grade
  from (values ('good', 'control', 0.2, null, null, null, null, 'A'),
    ('good', 'test', 0.3, 0.1, 0.02, 0.18, 'better', 'A'),
    ('odd & <b>', 'control', null, null, null, null, null, 'D'),
    ('odd & <b>', 'test', null, null, null, null, 'void', 'D')
  ) as t(experiment, arm, mean, diff, low, high, verdict, grade);
insert into impact.lift_estimates by name select date '2026-03-15' as as_of_date, 'Search' as feature,
  'return_7d' as outcome, 0.5 as naive, 300 as adopters, 'not established' as verdict,
  'Not established. So it is.' as reason,
  'fp' as inputs_fingerprint;
"""


class _Snapshot(Reader):
    """A reader of one database file."""

    def __init__(self, path: Path) -> None:
        from quality_assets.read.reader import Cache

        self.cache = Cache()
        self._connection = duckdb.connect(str(path), read_only=True)
        self._columns = {table.qualified_name: frozenset(table.column_names) for table in _TABLES}


_TABLES = (EXPERIMENTS, EXPERIMENT_EXPOSURES, EXPERIMENT_HEALTH, EXPERIMENT_RESULTS, LIFT_ESTIMATES)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    path = tmp_path_factory.mktemp("experiments") / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema impact")
        for table in _TABLES:
            connection.execute(table.create_sql())
        connection.execute(ROWS)
    return _Snapshot(path)


def shown(reader: Reader, path: str) -> str:
    return str(page.build(reader, Request(path)).to_plotly_json()) + markup_of(page.build(reader, Request(path)))


def markup_of(component: object) -> str:
    return markup(component)


def test_every_experiment_has_a_card_with_its_sentence(reader: Reader) -> None:
    text = markup_of(page.build(reader, Request("/experiments")))
    assert "Better: 7-day return 30.0 % instead of 20.0 %. Grade A." in text
    assert "Grade D, void" in text
    assert "Planned: it begins on 2026-05-01." in text
    assert "odd &amp; &lt;b&gt;" in text
    assert "Not established. So it is." in shown(reader, "/experiments")


def test_one_experiment_says_health_before_results(reader: Reader) -> None:
    text = shown(reader, "/experiments/good")
    assert text.index("Asked before results") < text.index("Intervals hold at the planned end")
    assert "+10.0" in text
    assert "+2.0 to +18.0" in text
    assert "1 several arms" in text


def test_a_void_experiment_shows_no_number(reader: Reader) -> None:
    address = experiment("odd & <b>")
    assert experiment_of(address) == "odd & <b>"
    text = shown(reader, address)
    assert "Void: 30 people in test, 60 in control" in text
    assert "%</td>" not in text
    rows = queries.results(reader, "odd & <b>")
    assert [row["mean"] for row in rows] == [None, None]


def test_what_is_not_there_says_so(reader: Reader) -> None:
    assert "There is no such page" in shown(reader, "/experiments/nope")
    assert queries.whole(reader, "nope") is None


def test_one_experiment_whole_is_its_rows(reader: Reader) -> None:
    found = queries.whole(reader, "good")
    assert found is not None
    assert (found["grade"], found["verdict"][:6]) == ("A", "Better")
    assert [(arm["arm"], arm["people"], arm["included"]) for arm in found["exposures"]] == [
        ("control", 20, 19),
        ("test", 20, 20),
    ]
    assert found["left_out"] == [{"reason": "several arms", "people": 1}]
    assert [row["verdict"] for row in found["results"]] == [None, "better"]
    assert found["health"][0]["check"] == "srm"
