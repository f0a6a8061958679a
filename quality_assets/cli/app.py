"""The application object, what all commands share: the data root, dates as arguments, and who gives a command."""

from __future__ import annotations

import getpass
import os
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from quality_assets import imports
from quality_assets.cli.output import fail, out
from quality_assets.settings import Settings, get_settings
from quality_assets.version import RELEASED, VERSION

app = typer.Typer(
    name="quality",
    help="Which product features got worse, is it real, and who is hurt: from raw telemetry to checked daily facts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        out.print(f"quality {VERSION} ({RELEASED})")
        raise typer.Exit


@app.callback()
def main(
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Root of all stores, so that several can live side by side.", envvar="QUALITY_DATA_DIR"),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say which version this is, and of which date.", callback=_say_version),
    ] = False,
) -> None:
    """Say where the data are, once for all commands."""
    # Not again in a process that has them behind it, such as a test's.
    if not imports.are_over():
        imports.before_imports()
    # Threads for linear algebra start with the import, and by default wait awake for work, which hardly comes here.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    if data_dir is not None:
        if data_dir.expanduser().exists() and not data_dir.expanduser().is_dir():
            fail(f"{data_dir} is not a folder; --data-dir, or QUALITY_DATA_DIR, names the root of all stores", 2)
        os.environ["QUALITY_DATA_DIR"] = str(data_dir.expanduser().resolve())
        get_settings.cache_clear()


def root_settings() -> Settings:
    from pydantic import ValidationError

    try:
        return get_settings()
    except ValidationError as error:
        lines = [
            f"QUALITY_{'.'.join(map(str, e['loc'])).upper()}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        fail("a setting is not valid. " + "; ".join(lines))


def parse_day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text!r} is not a date like 2026-01-31", 2)


def check_order(start: date | None, end: date | None) -> None:
    """Fail where a range of dates, as --from and --to give it, ends before it begins."""
    if start and end and start > end:
        fail(f"--from {start} is after --to {end}", 2)


def user_name() -> str:
    """Who gives the command, as the system calls them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return f"user {os.getuid()}"
