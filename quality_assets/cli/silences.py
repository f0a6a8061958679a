"""`quality alerts silence`: what nobody is told of for a while."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from quality_assets.cli.alerts import NAME_OF_ACTOR, alerts, cell, store_of_root
from quality_assets.cli.output import OutputFormat, fail, out, print_rows, shown
from quality_assets.contracts.house_settings import LEAST_HOURS, MOST_HOURS

silences = typer.Typer(no_args_is_help=True, help="Silences: nothing is told of what they cover; it is told after.")
alerts.add_typer(silences, name="silence")

_LISTED = ("silence_id", "subject", "kind", "fingerprint", "most_severity", "starts_at", "ends_at", "reason")


@silences.command("add")
def add(
    hours: Annotated[float, typer.Option(help="For how many hours.", min=LEAST_HOURS, max=MOST_HOURS)],
    reason: Annotated[str, typer.Option(help="Why; others see it.")],
    subject: Annotated[str, typer.Option(help="Of what: a pattern such as core.*; everything where not given.")] = "",
    kind: Annotated[str, typer.Option(help="Of this kind of alert alone, such as check.")] = "",
    severity: Annotated[str, typer.Option(help="Up to this severity: what is worse is told.")] = "",
    fingerprint: Annotated[str, typer.Option(help="Of this one fault alone, as `quality alerts show` names it.")] = "",
    starts_at: Annotated[
        datetime | None, typer.Option("--from", help="UTC; at once where not given.", show_default=False)
    ] = None,
    actor: NAME_OF_ACTOR = "somebody",
) -> None:
    """Tell nothing for a while."""
    from quality_assets.clock import utc_now
    from quality_assets.domain.quality.alerting import actor_name
    from quality_assets.tables.silences import SilenceError, add_silence, covered_words

    covered = {"subject": subject, "kind": kind, "most_severity": severity, "fingerprint": fingerprint}
    try:
        with store_of_root().write() as connection:
            row = add_silence(
                connection, covered, hours=hours, reason=reason, actor=actor_name(actor), now=utc_now(),
                starts_at=starts_at,
            )  # fmt: skip
    except SilenceError as error:
        fail(f"{error}.", 2)
    out.print(f"Silence {row['silence_id']}: {shown(covered_words(row))} until {cell(row['ends_at'])}")


@silences.command("list")
def list_silences(
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the rows.")] = OutputFormat.TABLE,
) -> None:
    """List silences that are in force or to come."""
    from quality_assets.clock import utc_now
    from quality_assets.read.alerts import silences as in_force

    with store_of_root().read() as connection:
        rows = in_force(connection, utc_now())
    if output is OutputFormat.TABLE and not rows:
        out.print("Nothing is silenced.")
        return
    names = (*_LISTED, "created_by")
    cells = [tuple(cell(row[name]) for name in names) for row in rows]
    print_rows(list(names), iter([cells]), output)


@silences.command("end")
def end(
    silence_id: Annotated[int, typer.Argument(help="Its number, as `quality alerts silence list` has it.")],
    actor: NAME_OF_ACTOR = "somebody",
) -> None:
    """End a silence now: what it held back is told."""
    from quality_assets.clock import utc_now
    from quality_assets.domain.quality.alerting import actor_name
    from quality_assets.tables.silences import end_silence

    with store_of_root().write() as connection:
        was_in_force = end_silence(connection, silence_id, actor_name(actor), utc_now())
    if not was_in_force:
        fail(f"No silence {silence_id} is in force; `quality alerts silence list` lists them.")
    out.print(f"Silence {silence_id} is over.")
