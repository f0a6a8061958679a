"""Pages that are made from the code: `python docs/made.py` writes docs/features.md and docs/commands.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import typer

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))


def features() -> str:
    """docs/features.md, of data/features.yaml."""
    from quality_assets.domain.live.describing import features_page
    from quality_assets.domain.live.feature_set import load_features

    return features_page(load_features(FOLDER.parent / "data" / "features.yaml"))


def commands() -> str:
    """docs/commands.md, of the command line."""
    from quality_assets.cli.main import app

    root = typer.main.get_command(app)
    lines = ["# Commands", "", "Made from the command line by `python docs/made.py`; a test compares.", ""]
    for name, command in sorted(_leaves("quality", root)):
        lines += [f"## `{name}`", "", *_words(command.help or ""), ""]
        options = [each for each in command.params if each.name != "help"]
        if options:
            lines += ["| | |", "|---|---|", *(f"| {_spelled(each)} | {_help(each)} |" for each in options), ""]
    return "\n".join(lines).rstrip() + "\n"


def _leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
        return
    for child, each in children.items():
        yield from _leaves(f"{name} {child}", each)


def _words(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def _spelled(option: click.Parameter) -> str:
    if isinstance(option, click.Argument):
        return f"`{(option.name or '').upper()}`"
    return ", ".join(f"`{each}`" for each in (*option.opts, *option.secondary_opts))


def _help(option: click.Parameter) -> str:
    return " ".join(str(getattr(option, "help", None) or "").split()).replace("|", "\\|")


PAGES = {"features.md": features, "commands.md": commands}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
