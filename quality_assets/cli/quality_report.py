"""The command `quality quality-report`: what tests and coverage said, as reports/quality/quality_report.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import fail, out

JunitOption = Annotated[Path | None, typer.Option(help="junit XML, as pytest --junitxml writes it.")]
CoverageOption = Annotated[Path | None, typer.Option(help="Coverage XML, as pytest --cov-report=xml writes it.")]


@app.command("quality-report")
def quality_report(
    junit: JunitOption = None,
    coverage: CoverageOption = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="reports/quality/quality_report.json of the data root if not given.")
    ] = None,
) -> None:
    """Put what a run of the tests said into one file; figures without a run are null.

    Exit code 1 where a test failed, or a file that is named cannot be read.
    """
    from quality_assets.domain.reports.quality_report import ReportInputError, quality_figures
    from quality_assets.stores.files import write_atomically

    try:
        figures = quality_figures(_text(junit), _text(coverage))
    except ReportInputError as error:
        fail(str(error))
    target = out_file or root_settings().reports_dir / "quality" / "quality_report.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, json.dumps(figures, indent=1) + "\n")
    out.print(escape(str(target)))
    if figures["tests"]["passed"] is False:
        raise typer.Exit(1)


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path} cannot be read: {error}")
