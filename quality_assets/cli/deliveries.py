"""Commands that send what was published elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from typing import Annotated

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import OutputFormat, err, fail, out
from quality_assets.domain.escaping import json_text

_MOST_NAMED = 8


@app.command()
def deliver(
    name: Annotated[str, typer.Argument(help="Name of the destination, as its file in data/destinations has it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    output: Annotated[OutputFormat, typer.Option("--format", help="table or json.")] = OutputFormat.TABLE,
) -> None:
    """Send a destination what it lacks of what was published: new, changed and vanished rows.

    Exit code 1 where it was stopped or refused; what was acknowledged before is not sent again.
    """
    from quality_assets.contracts.destinations import load_destinations
    from quality_assets.tables.deliveries import DeliveryRunningError, NothingToSend
    from quality_assets.tables.deliveries import deliver as send

    settings = root_settings()
    folder = settings.defined("destinations")
    known = load_destinations(folder)
    for error in known.errors:
        err.print(escape(error))
    if name not in known.by_name:
        fail(f"no destination in {folder} is called {name!r}; {_there_are(name, sorted(known.by_name))}")
    try:
        outcome = send(settings, known.by_name[name], dry_run=dry_run)
    except (NothingToSend, DeliveryRunningError) as error:
        fail(str(error))
    if output is OutputFormat.JSON:
        print(json_text(json.dumps(asdict(outcome), default=str, ensure_ascii=False, indent=2)))
    else:
        changed = f"{outcome.inserts:,} inserts, {outcome.updates:,} updates, {outcome.deletes:,} deletes"
        tried = "" if dry_run else f" in {outcome.batches:,} batches, {outcome.attempts:,} attempts"
        out.print(escape(f"{name}: {outcome.status}, {changed}{tried}"))
        for example in outcome.examples:
            row = example.get("row")
            out.print(escape(f"  {example['operation']} {example['key']}" + (f"  {json.dumps(row)}" if row else "")))
    if outcome.error is not None:
        fail(outcome.error)


def _there_are(name: str, names: Sequence[str]) -> str:
    """Which destinations there are, those of names alike first, and how one is made where there is none."""
    if not names:
        return "there is none yet: a YAML file of that folder declares one (name, owner, send, kind, and path or url)"
    near = get_close_matches(name, names, len(names), cutoff=0)
    rest = f" and {len(near) - _MOST_NAMED} more" if len(near) > _MOST_NAMED else ""
    return f"there {'is' if len(near) == 1 else 'are'} {', '.join(near[:_MOST_NAMED])}{rest}"
