"""Commands about models: backtest."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from quality_assets.cli.app import app, check_order, parse_day, root_settings
from quality_assets.cli.output import data_text, err, fail, out, shown_activity
from quality_assets.domain.wording import share_text

if TYPE_CHECKING:
    import pandas as pd


@app.command()
def backtest(
    from_date: Annotated[str, typer.Option("--from", help="First day to replay, e.g. 2026-01-31.")],
    to_date: Annotated[str, typer.Option("--to", help="Last day to replay, inclusive.")],
) -> None:
    """Replay history day by day as it was known then, and grade the risk scores against the baselines."""
    from quality_assets.stores.snapshots import current_snapshot, open_snapshot, why_none_is_published

    start, end = parse_day(from_date, "--from"), parse_day(to_date, "--to")
    assert start is not None  # both are required
    assert end is not None
    check_order(start, end)
    published_dir = root_settings().published_dir
    snapshot = current_snapshot(published_dir)
    if snapshot is None:
        fail(why_none_is_published(published_dir))
    # What learns takes seconds to import.
    from quality_assets.domain.models.risk.backtest import backtest as replay
    from quality_assets.domain.models.risk.labels import LABEL_FACTS, states_of
    from quality_assets.tables.facts import read_facts
    from quality_assets.tables.feature_states import read_watched
    from quality_assets.tables.model_inputs import risk_context

    with shown_activity("replaying"), open_snapshot(snapshot) as connection:
        facts = read_facts(connection, LABEL_FACTS)
        if not len(read_facts(connection, (), end, start)):
            fail(f"there are no facts from {start} to {end}; {data_text(snapshot.data_through)}")
        # By the one state: what is bad in incidents and labels is what is graded here.
        states = states_of(facts, read_watched(connection))
        result = replay(facts, start, end, context=risk_context(connection), states=states)
    for note in result.notes:
        err.print(escape(note))
    if not len(result.grades):
        # The question was answered: there was nothing that anyone could have predicted, or not yet.
        out.print(f"Nothing can be graded from {start} to {end}: {_why_nothing(result.notes)}")
        return
    _print_grades(result.grades)


def _why_nothing(notes: Sequence[str]) -> str:
    if notes:
        return "in none of these weeks was there a model; why stands above."
    return "no feature had a past of its own, or no outcome is known yet."


_GRADES = ("pr_auc", "brier_skill", "ece", "precision_at_k", "lead_days_median", "warned_share", "alerts_per_week")


# With fewer outcomes of a kind, each figure is a figure of these few days.
LEAST_OF_A_KIND = 5


def _print_grades(grades: pd.DataFrame) -> None:
    first = grades.iloc[0]
    degraded, healthy = int(first["positives"]), int(first["rows"]) - int(first["positives"])
    out.print(
        f"{degraded + healthy:,} feature-days with a known outcome, {degraded:,} of them degraded within"
        f" a week ({share_text(first['base_rate'])})"
    )
    if min(degraded, healthy) < LEAST_OF_A_KIND:
        kind = "degraded" if degraded <= healthy else "healthy"
        out.print(
            f"Too few to grade a model on: {min(degraded, healthy)} {kind} feature-days, {LEAST_OF_A_KIND} are needed."
            " Take a longer time, or wait for more outcomes."
        )
        return
    grid = Grid(box=None, pad_edge=False)
    grid.add_column("model")
    for name in _GRADES:
        grid.add_column(name.replace("_", " "), justify="right")
    for model, rows in grades.groupby("model", sort=False):
        by_metric = rows.set_index("metric")
        grid.add_row(str(model).replace("_", " "), *(_grade(by_metric, name) for name in _GRADES))
    out.print(grid)


def _grade(rows: pd.DataFrame, name: str) -> str:
    if name not in rows.index:
        return "–"
    value, low, high = rows[["value", "low", "high"]].astype(float).to_numpy()[list(rows.index).index(name)]
    if isnan(value):
        return "–"
    return f"{value:.2f}" + ("" if isnan(low) else f" ({low:.2f}–{high:.2f})")
