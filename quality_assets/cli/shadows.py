"""The group `shadow`: versions that are asked beside the one in use, and how they do."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.learning import FormatOption, UseCaseName, tabular, told_errors
from quality_assets.cli.output import OutputFormat, fail, out

shadow = typer.Typer(
    name="shadow",
    help="Versions that are asked beside the one in use, without anybody seeing it.",
    no_args_is_help=True,
)
app.add_typer(shadow)
Version = Annotated[str, typer.Argument(help="Its number, as `quality model list` shows it.")]


@shadow.command()
def start(use_case: UseCaseName, version: Version) -> None:
    """Ask a version too, from now on; its answers are logged and given to nobody."""
    from quality_assets.stores.shadows import start_shadow

    with told_errors():
        is_new = start_shadow(root_settings().models_dir, tabular(use_case), version)
    out.print(escape(f"Version {version} of {use_case} {'is asked too' if is_new else 'was asked already'}."))


@shadow.command()
def stop(use_case: UseCaseName, version: Version) -> None:
    """Ask a version no longer."""
    from quality_assets.stores.shadows import stop_shadow

    if not stop_shadow(root_settings().models_dir, tabular(use_case).name, version):
        fail(f"version {version} of {use_case} is no shadow; `quality shadow show {use_case}` names those")
    out.print(escape(f"Version {version} of {use_case} is asked no longer."))


@shadow.command()
def show(use_case: UseCaseName, output: FormatOption = OutputFormat.TABLE) -> None:
    """How each shadow does: better, worse, undecided, or unknown with what is missing."""
    from quality_assets.tables.shadow_verdicts import verdicts

    rows = verdicts(root_settings(), tabular(use_case).name)
    if output is OutputFormat.JSON:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        silent = " Nothing was asked of it for an hour." if row["is_silent"] else ""
        out.print(escape(f"version {row['version']}: {row['verdict']}. {row['words']}.{silent}"))
    if not rows:
        out.print(f"No version is asked beside the one in use: `quality shadow start {use_case} VERSION`")
