"""The groups `shadow` and `canary`: versions that are asked beside the one in use, or answer for some keys."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings, user_name
from quality_assets.cli.output import OutputFormat, fail, out
from quality_assets.cli.use_cases import FormatOption, ReasonOption, TableName, tabular, told_errors
from quality_assets.domain.wording import share_text

shadow = typer.Typer(
    name="shadow",
    help="Versions that are asked beside the one in use, without anybody seeing it.",
    no_args_is_help=True,
)
app.add_typer(shadow)
Version = Annotated[str, typer.Argument(help="Its number, as `quality model list` shows it.")]


@shadow.command()
def start(use_case: TableName, version: Version) -> None:
    """Ask a version too, from now on; its answers are logged and given to nobody."""
    from quality_assets.domain.models.learning.release_stack import in_use
    from quality_assets.stores.releases import release_log
    from quality_assets.stores.shadows import start_shadow

    with told_errors():
        is_new = start_shadow(root_settings().models_dir, tabular(use_case), version)
    current = in_use(release_log(root_settings()).of(use_case))
    told = "is asked too" if is_new else "was asked already"
    if current is not None and current.version == version:
        told = "is in use, and answers already: it is asked as a shadow once another version is in use"
    out.print(escape(f"Version {version} of {use_case} {told}."))


@shadow.command()
def stop(use_case: TableName, version: Version) -> None:
    """Ask a version no longer."""
    from quality_assets.stores.shadows import stop_shadow

    if not stop_shadow(root_settings().models_dir, tabular(use_case).name, version):
        fail(f"version {version} of {use_case} is no shadow; `quality shadow show {use_case}` names those")
    out.print(escape(f"Version {version} of {use_case} is asked no longer."))


@shadow.command()
def show(use_case: TableName, output: FormatOption = OutputFormat.TABLE) -> None:
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


canary = typer.Typer(
    name="canary",
    help="A version that answers a share of the keys, and is taken back by itself where it fails, is slow or worse.",
    no_args_is_help=True,
)
app.add_typer(canary)


@canary.command("start")
def start_as_canary(
    use_case: TableName,
    version: Version,
    share: Annotated[float, typer.Option(help="Of the keys that it answers, above 0 and at most 1.")] = 0.1,
    reason: ReasonOption = "started by hand",
) -> None:
    """Have a version answer a share of the keys, or another share than before; a key keeps its version."""
    from quality_assets.stores.canaries import start_canary

    with told_errors():
        try:
            found = start_canary(root_settings(), tabular(use_case), version, share, actor=user_name(), reason=reason)
        except ValueError as error:
            fail(str(error), 2)
    out.print(
        escape(f"Version {version} of {use_case} answers {share_text(found.share)} of the keys (release {found.seq}).")
    )


@canary.command("stop")
def stop_canary(use_case: TableName, reason: ReasonOption = "taken back by hand") -> None:
    """Have it answer no longer: the version in use answers everything again."""
    from quality_assets.stores.canaries import end_canary

    found = end_canary(root_settings(), tabular(use_case).name, actor=user_name(), reason=reason)
    if found is None:
        fail(f"no version of {use_case} is a canary; `quality canary start {use_case} VERSION` begins one")
    out.print(escape(f"Version {found.version} of {use_case} answers no longer; the one in use answers everything."))


@canary.command("show")
def show_canary(use_case: TableName, output: FormatOption = OutputFormat.TABLE) -> None:
    """Which version answers which share, and how it does beside the one in use on the same requests."""
    from quality_assets.tables.shadow_verdicts import canary_verdict

    told = canary_verdict(root_settings(), tabular(use_case).name)
    if output is OutputFormat.JSON:
        print(json.dumps(told, indent=1))
    elif told is None:
        out.print(f"No version is a canary: `quality canary start {use_case} VERSION --share 0.1`")
    else:
        line = (
            f"version {told['version']} answers {share_text(told['share'])} since {told['since']}: {told['verdict']}."
        )
        out.print(escape(f"{line} {told['words']}. {told['answered']} answers were its own."))
