"""Commands about experiments: what one says, how far that can be trusted, and why."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape
from rich.table import Table as Grid

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import OutputFormat, err, fail, out, print_rows
from quality_assets.domain.escaping import json_text
from quality_assets.settings import Settings

if TYPE_CHECKING:
    from quality_assets.read.reader import Reader


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(help="Name of the experiment, as its file or the events have it.")],
    output: Annotated[OutputFormat, typer.Option("--format", help="table, csv or json.")] = OutputFormat.TABLE,
) -> None:
    """Print what an experiment says: its verdict and grade, whether its counts can be trusted, each metric by arm.

    Exit code 1 where there is no such experiment, or its file is wrong.
    """
    from quality_assets.read import experiments as queries
    from quality_assets.read.reader import open_reader
    from quality_assets.stores.snapshots import current_snapshot

    settings = root_settings()
    snapshot = current_snapshot(settings.published_dir)
    reader = open_reader(snapshot) if snapshot else None
    found = queries.experiment(reader, name) if reader else None
    if found is None or found["state"] == "invalid":
        _explain(settings, name, [row["experiment"] for row in queries.experiments(reader)] if reader else [])
    assert reader is not None  # it was found there
    _warn_where_changed(settings, name, found["definition_version"])
    if output is OutputFormat.JSON:
        print(json_text(json.dumps(queries.whole(reader, name), default=str, ensure_ascii=False, indent=2)))
        return
    results = queries.results(reader, name)
    if output is OutputFormat.CSV:
        names = list(results[0]) if results else ["experiment", "metric", "arm", "verdict", "grade"]
        print_rows(names, iter([[tuple(row.values()) for row in results]]), output)
        return
    _print_experiment(reader, found, results)


def _explain(settings: Settings, name: str, known: list[str]) -> NoReturn:
    """Say why there is nothing to print, and what to do."""
    from quality_assets.contracts.experiment_files import load_experiments

    files = load_experiments(settings.defined("experiments"))
    wrong = next((each for each in files.invalid if each.name == name), None)
    if wrong is not None:
        fail(wrong.reason)
    if name in files.by_name:
        fail(f"experiment {name!r} is declared, and nothing is computed of it yet: `quality run`")
    near = get_close_matches(name, [*known, *files.by_name], 3)
    hint = f"; there are {', '.join(near)}" if near else f"; there are {', '.join(known)}" if known else ""
    fail(f"there is no experiment {name!r}, neither in data/experiments nor in events{hint}")


def _warn_where_changed(settings: Settings, name: str, version: str | None) -> None:
    from quality_assets.contracts.experiment_files import load_experiments

    files = load_experiments(settings.defined("experiments"))
    now = files.by_name.get(name)
    if now is not None and now.version != version:
        err.print("Its file has changed since this was computed: `quality run`")


def _print_experiment(reader: Reader, found: dict[str, Any], results: list[dict[str, Any]]) -> None:
    from quality_assets.domain.impact.experiment_words import adjusted_note
    from quality_assets.read import experiments as queries

    name = found["experiment"]
    out.print(f"[bold]{escape(name)}[/bold]  grade {found['grade'] or '–'}, {found['state']}")
    out.print(escape(found["verdict"]))
    for reason in found["reasons"]:
        out.print(f"  {escape(reason)}")
    checks = [row for row in queries.health(reader, name) if row["status"] != "ok"]
    for row in checks:
        if row["detail"] not in found["reasons"]:
            out.print(f"  {row['status']}: {escape(row['detail'])}")
    if not results:
        return
    grid = Grid(box=None, pad_edge=False)
    for title in ("metric", "arm", "people", "open", "mean", "difference", "95 % interval", "verdict"):
        grid.add_column(title, justify="left" if title in ("metric", "arm", "verdict") else "right")
    for row in results:
        grid.add_row(*_cells(row))
    out.print(grid)
    note = adjusted_note(results)
    if note:
        out.print(note)


def _cells(row: dict[str, Any]) -> list[str]:
    from quality_assets.contracts.metric_names import parse_metric_name
    from quality_assets.domain.impact.experiment_words import level, signed

    is_share = parse_metric_name(row["metric"]).is_share
    low, high = (row["low"], row["high"]) if row["is_final"] else (row["always_low"], row["always_high"])
    mean = "–" if row["mean"] is None else level(row["mean"], is_share)
    diff = "–" if row["diff"] is None else signed(row["diff"], is_share)
    interval = "–" if low is None else f"{signed(low, is_share)} to {signed(high, is_share)}"
    verdict = "control" if row["is_control"] else row["verdict"] or "–"
    return [
        escape(row["metric"]), escape(row["arm"]), f"{row['n']:,}", f"{row['open']:,}", mean, diff, interval, verdict,
    ]  # fmt: skip
