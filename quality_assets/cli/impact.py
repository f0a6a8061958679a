"""Commands about use: one funnel, the retention of one feature, one segment."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import OutputFormat, err, fail, out, print_rows

if TYPE_CHECKING:
    from quality_assets.read.reader import Reader

_Format = Annotated[OutputFormat, typer.Option("--format", help="How to print the rows.")]


class Kind(StrEnum):
    """What counts as a return."""

    EXACT = "exact"
    WITHIN_30 = "within_30"
    ON_OR_AFTER = "on_or_after"


@app.command()
def funnel(
    name: Annotated[str, typer.Argument(help="A funnel of data/funnels, by its name.")],
    output: _Format = OutputFormat.TABLE,
) -> None:
    """Say how many go from the first step of a funnel to the last, and where they are lost.

    JSON and CSV are the rows of impact.funnel_days, each with its verdict.
    """
    from quality_assets.read import impact

    reader = _reader()
    period = _asked(lambda: impact.funnel_period(reader, name))
    rows = impact.funnel_rows(reader, name)
    if output is not OutputFormat.TABLE:
        _print(rows, output)
        return
    from quality_assets.domain.impact.impact_words import counted_sentence, open_sentence, time_text, unknown_text
    from quality_assets.domain.wording import share_text

    assert reader.through is not None
    through = reader.through
    out.print(escape(period.sentence))
    counted = counted_sentence(period.unit) if period.steps[0].reached else ""
    for line in (counted, open_sentence(period.entries_open, period.entries_recent, period.end), period.coverage):
        if line:
            out.print(escape(line))
    entered, before = period.steps[0].reached, period.steps[0].reached
    table = []
    for n, (step, median_s) in enumerate(zip(period.steps, period.median_s, strict=True), start=1):
        unknown = unknown_text(step, through, period.unit)
        table.append(
            (
                n,
                step.words,
                "" if unknown else f"{step.reached:,}",
                unknown or (share_text(step.reached / entered) if entered else "–"),
                "" if unknown or n == 1 or not before else share_text(step.reached / before),
                time_text(median_s) if n > 1 else "",
            )
        )
        before = step.reached
    print_rows(("step", "event", "reached", "of all", "of the step before", "median time"), iter([table]), output)
    for split in [row["sentence"] for row in impact.funnel_splits(reader, name) if row["sentence"]][:3]:
        out.print(escape(f"Changed: {split}."))


@app.command()
def retention(
    feature: Annotated[str, typer.Argument(help="A product feature, as events name it; '*' is the product.")],
    kind: Annotated[Kind | None, typer.Option(help="What counts as a return.")] = None,
    output: _Format = OutputFormat.TABLE,
) -> None:
    """Say how many of those who are new to a feature come back to it, by each kind of return.

    JSON and CSV are the rows of impact.retention, each with its verdict.
    """
    from quality_assets.domain.wording import share_text
    from quality_assets.read import impact

    reader = _reader()
    _asked(lambda: impact.known_feature(reader, feature))
    if output is not OutputFormat.TABLE:
        _print(impact.retention_rows(reader, feature, kind.value if kind else None), output)
        return
    for each in [kind] if kind else list(Kind):
        out.print(escape(impact.retention_sentence(reader, feature, each.value)))
        table = [
            (row["day_n"], f"{row['eligible']:,}", f"{row['returned']:,}", share_text(row["rate"]), row["cohorts"])
            for row in impact.retention_means(reader, feature, each.value)
            if row["day_n"] in (1, 3, 7, 14, 28, 30, 60, 90)
        ]
        print_rows((f"day ({each.value})", "new users", "returned", "rate", "days of first use"), iter([table]), output)


@app.command()
def segment(
    name: Annotated[str, typer.Argument(help="A segment of data/segments, by its name.")],
    output: _Format = OutputFormat.TABLE,
) -> None:
    """Say how many people a segment has, and how many came and went.

    JSON and CSV are the rows of impact.segment_days, each with its verdict.
    """
    from quality_assets.domain.impact.impact_words import WAITS
    from quality_assets.read import impact

    reader = _reader()
    defined = _asked(lambda: impact.definition(reader, "segment", name))
    if defined["error"]:
        fail(str(defined["error"]).removeprefix(WAITS))
    rows = impact.segment_rows(reader, name)
    if not rows:
        fail(f"nothing is built of segment {name!r} yet; `quality run` builds it")
    if output is OutputFormat.TABLE:
        out.print(escape(rows[-1]["verdict"]))
        rows = rows[-14:]
    _print(rows, output)


def _reader() -> Reader:
    from quality_assets.read.reader import SnapshotStore
    from quality_assets.stores.snapshots import why_none_is_published

    published_dir = root_settings().published_dir
    reader = SnapshotStore(published_dir).reader()
    if reader is not None and reader.through is None:
        fail("what is published has no data yet: `quality ingest PATH…`, then `quality run`")
    if reader is None:
        fail(why_none_is_published(published_dir))
    if not reader.has("impact.funnel_days"):
        fail("the published snapshot has no impact tables; `quality run` builds them")
    return reader


def _asked(ask: Callable[[], Any]) -> Any:
    from quality_assets.read.impact import UnknownNameError

    try:
        return ask()
    except (UnknownNameError, ValueError) as error:
        fail(str(error))


def _print(rows: list[dict[str, Any]], output: OutputFormat) -> None:
    if not rows:
        err.print("There are no rows yet.")
    names = list(rows[0]) if rows else []
    print_rows(names, iter([[tuple(row.values()) for row in rows]]), output)
