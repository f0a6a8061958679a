"""Commands of the operations store: alerts, settings, the token, backup."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import OutputFormat, fail, out, print_rows, shown
from quality_assets.contracts.house_settings import LEAST_HOURS, MOST_HOURS

if TYPE_CHECKING:
    from quality_assets.stores.operations.store import Operations

alerts = typer.Typer(no_args_is_help=True, help="Alerts: what is wrong, told once, and answered.")
settings_app = typer.Typer(invoke_without_command=True, help="Settings that change while the house runs.")
operations = typer.Typer(no_args_is_help=True, help="The operations store: backup.")
app.add_typer(alerts, name="alerts")
app.add_typer(settings_app, name="settings")
app.add_typer(operations, name="operations")

_Format = Annotated[OutputFormat, typer.Option("--format", help="How to print the rows.")]
_Id = Annotated[str, typer.Argument(help="The alert's id, or its beginning.")]
NAME_OF_ACTOR = Annotated[str, typer.Option("--as", help="Your name, which is written beside it.", envvar="USER")]
_Note = Annotated[str, typer.Option("--note", help="What is to be said with it.")]
# What an alert has many of: a line holds one of each.
_LISTS = ("subjects", "events", "notifications", "group", "record")
_MOST_NAMED = 3
_SENDING_S = 600.0
_SHOWN = (
    *("subject", "check_name", "column_name", "partition_key", "owner", "assignee", "observed", "expected"),
    *("threshold", "n", "users", "first_seen", "last_seen", "occurrences", "snoozed_until", "resolved_at"),
    *("resolution", "action", "run_id", "fingerprint"),
)
_LISTED = ("alert_id", "severity", "status", "kind", "subject", "title", "occurrences", "last_seen", "assignee")


def store_of_root() -> Operations:
    """The operations store of the data root, or a sentence about why there is none."""
    from sqlalchemy.exc import DBAPIError

    from quality_assets.stores.operations.engine import OperationsUrlError
    from quality_assets.stores.operations.store import operations_of
    from quality_assets.stores.operations.upgrade import OperationsNewerError

    settings = root_settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        return operations_of(settings)
    except (OperationsNewerError, OperationsUrlError) as error:
        fail(str(error))
    except DBAPIError as error:
        fail(f"the operations store does not answer: {error.orig}")


@alerts.command("list")
def list_alerts(
    status: Annotated[
        str, typer.Option(help="open, acknowledged, resolved, live or all.", show_default="live; as CSV or JSON all")
    ] = "",
    severity: Annotated[str, typer.Option(help="At least this: low, medium, high, critical.")] = "low",
    kind: Annotated[str, typer.Option(help="Of these kinds, such as check,incident; all where not given.")] = "",
    subject: Annotated[str | None, typer.Option(help="Of this table, feature, dataset or job.")] = None,
    assignee: Annotated[str | None, typer.Option(help="Whose they are.")] = None,
    search: Annotated[str | None, typer.Option(help="With these words in title, message, subject or check.")] = None,
    output: _Format = OutputFormat.TABLE,
) -> None:
    """List alerts, the worst first."""
    from quality_assets.domain.quality import alerting
    from quality_assets.read.alerts import Asked, worst_first

    status = status or ("live" if output is OutputFormat.TABLE else "all")
    views = {"live": (alerting.OPEN, alerting.ACKNOWLEDGED), "all": alerting.STATUSES}
    statuses = views.get(status) or tuple(status.split(","))
    unknown = [each for each in statuses if each not in alerting.STATUSES]
    if unknown:
        fail(f"--status {unknown[0]!r} is none of live, all, {', '.join(alerting.STATUSES)}", 2)
    if severity not in alerting.SEVERITIES:
        fail(f"--severity {severity!r} is none of {', '.join(alerting.SEVERITIES)}", 2)
    kinds = tuple(filter(None, (each.strip() for each in kind.split(","))))
    strange = [each for each in kinds if each not in alerting.KINDS]
    if strange:
        fail(f"--kind {strange[0]!r} is none of {', '.join(alerting.KINDS)}", 2)
    worse = alerting.SEVERITIES[alerting.rank(severity) :]
    with store_of_root().read() as connection:
        rows = worst_first(connection, Asked(statuses, worse, kinds, subject, assignee, search), 100_000)
    if output is OutputFormat.TABLE and not rows:
        out.print("No alert is like that.")
        return
    _print_alerts(rows, output)


def _print_alerts(rows: Sequence[Mapping[str, Any]], output: OutputFormat) -> None:
    names = list(_LISTED) if output is OutputFormat.TABLE or not rows else list(rows[0])
    text = _csv_cell if output is OutputFormat.CSV else cell
    print_rows(names, iter([[tuple(text(row[name]) for name in names) for row in rows]]), output)


def _csv_cell(value: Any) -> Any:
    import json

    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else cell(value)


def cell(value: Any) -> Any:
    """A value as it leaves."""
    # Instants are UTC without zone in the store; what leaves says so.
    return f"{value.isoformat(timespec='seconds')}Z" if isinstance(value, datetime) else value


@alerts.command("show")
def show_alert(alert_id: _Id, output: _Format = OutputFormat.TABLE) -> None:
    """Show one alert with what happened to it and who was told."""
    import json

    from quality_assets.read.alerts import one

    store = store_of_root()
    with store.read() as connection:
        found = one(connection, _whole_id(store, alert_id))
    if found is None:
        fail(f"No alert has the id {alert_id!r}.")
    if output is OutputFormat.JSON:
        print(json.dumps(found, default=cell, ensure_ascii=False, indent=2))
        return
    if output is OutputFormat.CSV:
        _print_alerts([{name: value for name, value in found.items() if name not in _LISTS}], output)
        return
    out.print(f"{shown(found['title'])}  [{found['severity']}, {found['status']}]".replace("[", r"\["))
    out.print(shown(found["message"]))
    for name in _SHOWN:
        if found[name] not in (None, ""):
            out.print(f"  {name.replace('_', ' ')}: {shown(_fact(found, name))}")
    for event in found["events"]:
        said = f": {shown(event['note'])}" if event["note"] else ""
        out.print(f"  {cell(event['at'])}  {event['action']} by {shown(event['actor'])}{said}")
    for told in found["notifications"]:
        why = f": {shown(told['error'])}" if told["error"] else ""
        out.print(f"  {shown(told['channel_id'])}  {told['transition'].partition(':')[0]} {told['status']}{why}")


def _fact(alert: Mapping[str, Any], name: str) -> str:
    from quality_assets.domain.quality.messages import FIGURES, figure_of

    return figure_of(alert, name) if name in FIGURES else str(cell(alert[name]))


def _whole_id(store: Operations, beginning: str) -> str:
    """The one id that begins so."""
    from sqlalchemy import select

    from quality_assets.stores.operations.alert_tables import ALERT

    if not beginning.strip():
        fail("The id is empty; `quality alerts list --status all` lists them.", 2)
    begins = ALERT.c.alert_id.startswith(beginning, autoescape=True)
    ids = select(ALERT.c.alert_id).where(begins).order_by(ALERT.c.alert_id).limit(_MOST_NAMED + 1)
    with store.read() as connection:
        found = list(connection.execute(ids).scalars())
    if not found:
        fail(f"No alert has an id that begins with {beginning!r}; `quality alerts list --status all` lists them.")
    if len(found) > 1:
        named = ", ".join(found[:_MOST_NAMED]) + (" and more" if len(found) > _MOST_NAMED else "")
        fail(f"Several alerts have an id that begins with {beginning!r}: {named}. Give more of it.")
    return found[0]


def _answer(alert_id: str, actor: str, act: Callable[[Any, str, str], dict[str, Any]]) -> dict[str, Any]:
    from quality_assets.domain.quality.alerting import AlertError, actor_name
    from quality_assets.tables.alerts import AlertBook

    store = store_of_root()
    try:
        row = act(AlertBook(store), _whole_id(store, alert_id), actor_name(actor))
    except AlertError as error:
        fail(str(error))
    out.print(f"{shown(row['title'])}: {row['status']}")
    return row


@alerts.command("ack")
def acknowledge(alert_id: _Id, note: _Note = "", actor: NAME_OF_ACTOR = "somebody") -> None:
    """Say that you have it: reminders stop until it is over."""
    _answer(alert_id, actor, lambda book, found, name: book.acknowledge(found, name, note=note))


@alerts.command("resolve")
def resolve(
    alert_id: _Id,
    resolution: Annotated[
        str, typer.Option("--as-what", "--resolution", help="fixed, expected, false_alarm, duplicate.")
    ] = "fixed",
    note: _Note = "",
    actor: NAME_OF_ACTOR = "somebody",
) -> None:
    """Say that it is over, and how."""
    from quality_assets.domain.quality.alerting import FALSE_RESOLUTIONS, SAID_RESOLUTIONS, TEACHABLE

    if resolution not in SAID_RESOLUTIONS:
        fail(f"--as-what {resolution!r} is none of {', '.join(SAID_RESOLUTIONS)}", 2)
    if actor in SAID_RESOLUTIONS[1:]:
        fail(f"--as is your name; how it is over is --as-what {actor}.", 2)
    row = _answer(alert_id, actor, lambda book, found, name: book.resolve(found, name, resolution, note=note))
    if row["kind"] in TEACHABLE and resolution in FALSE_RESOLUTIONS:
        out.print("  quiet from now on, unless it gets worse")


@alerts.command("snooze")
def snooze(
    alert_id: _Id,
    hours: Annotated[float, typer.Option(help="For how many hours.", min=LEAST_HOURS, max=MOST_HOURS)] = 24,
    note: _Note = "",
    actor: NAME_OF_ACTOR = "somebody",
) -> None:
    """Tell nothing of it for a while; then once, if it still fails."""
    from quality_assets.clock import utc_now

    until = utc_now() + timedelta(hours=hours)
    row = _answer(alert_id, actor, lambda book, found, name: book.snooze(found, name, until, note=note))
    out.print(f"  nothing is told of it until {row['snoozed_until']:%Y-%m-%d %H:%M} UTC")


@alerts.command("reopen")
def reopen(alert_id: _Id, note: _Note = "", actor: NAME_OF_ACTOR = "somebody") -> None:
    """Say that it is not over after all."""
    _answer(alert_id, actor, lambda book, found, name: book.reopen(found, name, note=note))


@alerts.command("assign")
def assign(
    alert_id: _Id,
    assignee: Annotated[str, typer.Argument(help="Whose it is; nobody's where left out.")] = "",
    note: _Note = "",
    actor: NAME_OF_ACTOR = "somebody",
) -> None:
    """Say whose it is."""
    row = _answer(alert_id, actor, lambda book, found, name: book.assign(found, name, assignee, note=note))
    out.print(f"  assigned to {shown(row['assignee'] or 'nobody')}")


@alerts.command("note")
def note(
    alert_id: _Id, text: Annotated[str, typer.Argument(help="What is to be said.")], actor: NAME_OF_ACTOR = "somebody"
) -> None:
    """Say something about it."""
    _answer(alert_id, actor, lambda book, found, name: book.note(found, name, text))


@alerts.command("send")
def send(
    from_here: Annotated[
        bool, typer.Option("--from-here", help="From now on this root tells, though it is a copy of one that is there.")
    ] = False,
) -> None:
    """Look at the house, and tell what is due now: what servers do by themselves. Exit code 1 where a channel fails."""
    from quality_assets.stores.root_copies import copy_sentence, original_of, remember_place
    from quality_assets.tables.house import watch
    from quality_assets.tables.shadow_watch import watch_shadows
    from quality_assets.tables.telling import tell

    store_of_root()
    settings = root_settings()
    if from_here:
        remember_place(settings)
    watch(settings)
    watch_shadows(settings, at_once=True)
    if original := original_of(settings):
        fail(copy_sentence(settings, original))
    told = tell(settings, wait_s=_SENDING_S)
    out.print(f"{told.sent} sent, {told.refused} not taken")
    if told.refused:
        raise typer.Exit(1)


@app.command()
def token() -> None:
    """Print the token with which scripts write by the API; made where there is none."""
    from quality_assets.tables.tokens import TokenError, house_token

    try:
        print(house_token(root_settings()))
    except TokenError as error:
        fail(str(error))


@settings_app.callback()
def list_settings(context: typer.Context, output: _Format = OutputFormat.TABLE) -> None:
    """List the settings; `quality settings set KEY VALUE` changes one."""
    if context.invoked_subcommand is not None:
        return
    from quality_assets.tables.house_settings import all_settings

    with store_of_root().read() as connection:
        rows = all_settings(connection)
    names = ["key", "value", "default", "unit", "description"]
    if output is not OutputFormat.JSON:
        rows = [row | {name: _as_typed(row[name]) for name in ("value", "default")} for row in rows]
    print_rows(names, iter([[tuple(row[name] for name in names) for row in rows]]), output)


def _as_typed(value: object) -> str:
    """A setting's value as `quality settings set` takes it."""
    import json

    return json.dumps(value, ensure_ascii=False)


@settings_app.command("set")
def set_setting(
    key: Annotated[str, typer.Argument(help="As `quality settings` lists it.")],
    value: Annotated[str, typer.Argument(help="A number, true or false, a JSON object, or null for the default.")],
    actor: NAME_OF_ACTOR = "somebody",
) -> None:
    """Change a setting."""
    from quality_assets.domain.quality.alerting import actor_name
    from quality_assets.tables.house_settings import SettingError, change, parsed

    try:
        with store_of_root().write() as connection:
            kept = change(connection, key, parsed(key, value), actor_name(actor))
    except SettingError as error:
        fail(str(error))
    out.print(f"{key} = {shown(_as_typed(kept))}")


@operations.command("backup")
def backup(
    target: Annotated[Path, typer.Argument(help="The file to write; it can be put in place as operations.db.")],
) -> None:
    """Write all of the operations store, as it is at one moment, into one SQLite file."""
    try:
        store_of_root().back_up(target)
    except FileExistsError as error:
        fail(str(error))
    out.print(f"{target}")
