"""Commands of the live half: collect, deadletters, features."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import TERMINATED, OutputFormat, err, fail, out, print_rows
from quality_assets.settings import Settings

if TYPE_CHECKING:
    from quality_assets.domain.live.feature_set import FeatureSet
    from quality_assets.serve.collector.replaying import Replayed

deadletters = typer.Typer(help="What the collector refused, with every reason: look at it, mend it, send it again.")
app.add_typer(deadletters, name="deadletters")


@app.command()
def collect(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; QUALITY_COLLECTOR_PORT if not given.")
    ] = None,
    land_now: Annotated[
        bool, typer.Option("--land-now", help="Land all that waits, of past dates too, and end; nothing is served.")
    ] = False,
) -> None:
    """Take events over HTTP (Segment, OpenTelemetry, /ingest), serve online features and today's figures.

    What is acknowledged is on the disk. It lands in landing/collector/, where `quality ingest` and the graph find it.
    """
    settings = root_settings()
    if port is not None:
        settings = settings.model_copy(update={"collector_port": port})
    if land_now:
        _land_now(settings)
        return
    _serve(settings)


@app.command()
def process(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of /health and /metrics.")] = 8081,
    most: Annotated[
        int | None, typer.Option(min=1, help="How many partitions it takes at most; all that are free if not given.")
    ] = None,
) -> None:
    """Follow the Kafka topic of the collectors: what they took becomes tiles, features and events to land.

    One processor follows a partition. Several such processes share them, and take over those of one that ends.
    """
    from quality_assets.domain.live.feature_set import FeatureFileError
    from quality_assets.serve.collector.access import KeyFileError
    from quality_assets.serve.collector.core import CollectorRunningError
    from quality_assets.serve.guard import UnguardedError

    settings = root_settings()
    try:
        from quality_assets.serve.collector.processor_app import create_processor_app

        application = create_processor_app(settings, most)
    except (CollectorRunningError, UnguardedError, KeyFileError, FeatureFileError) as error:
        fail(str(error))
    _run(application, settings, settings.collector_host, port, "Processors")


def _land_now(settings: Settings) -> None:
    from quality_assets.domain.live.feature_set import FeatureFileError
    from quality_assets.serve.collector.core import CollectorRunningError
    from quality_assets.serve.collector.landing import land_now

    try:
        batches = land_now(settings)
    except (CollectorRunningError, FeatureFileError) as error:
        fail(str(error))
    for batch in batches:
        out.print(f"{batch.rows} events of {batch.event_date}: landing/{batch.name}")
    if not batches:
        out.print("Nothing waits to land.")


def _serve(settings: Settings) -> NoReturn:
    from quality_assets.domain.live.feature_set import FeatureFileError
    from quality_assets.serve.collector.access import KeyFileError
    from quality_assets.serve.collector.app import create_app
    from quality_assets.serve.collector.core import CollectorRunningError
    from quality_assets.serve.guard import UnguardedError
    from quality_assets.serve.ports import why_not_listening

    host, port = settings.collector_host, settings.collector_port
    if why := why_not_listening(host, port, f"quality collect --port {port + 1}"):
        fail(f"the collector cannot start: {why}")
    try:
        application = create_app(settings)
    except (CollectorRunningError, UnguardedError, KeyFileError, FeatureFileError) as error:
        fail(str(error))
    _run(application, settings, host, port, "Collector")


def _run(application: Any, settings: Settings, host: str, port: int, name: str) -> NoReturn:
    import uvicorn

    from quality_assets.serve.logs import configure
    from quality_assets.serve.ports import UVICORN_OPTIONS, address

    configure()
    out.print(f"{name}  {address(host, port)}  (docs at /docs); Ctrl-C stops it.")
    sys.stdout.flush()
    # uvicorn raises the signal that ended it once more when all is drained.
    signal.signal(signal.SIGTERM, _end_as_terminated)
    signal.signal(signal.SIGINT, _end_as_asked)
    uvicorn.run(
        application,
        host=host,
        port=port,
        **UVICORN_OPTIONS,
        ssl_certfile=settings.collector_certificate,
        ssl_keyfile=settings.collector_private_key,
    )
    sys.exit(0)


def _end_as_terminated(_: int, __: FrameType | None) -> NoReturn:
    sys.exit(TERMINATED)


def _end_as_asked(_: int, __: FrameType | None) -> NoReturn:
    sys.exit(0)


_Format = Annotated[OutputFormat, typer.Option("--format", help="How results are printed.")]
_Reason = Annotated[str | None, typer.Option(help="Only letters with this reason.")]
_LETTER_COLUMNS = ("id", "received_at", "source", "endpoint", "reasons", "state", "replays")


@deadletters.command("list")
def list_letters(
    reason: _Reason = None,
    state: Annotated[str, typer.Option(help="waiting, replayed, or all.")] = "waiting",
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 1000,
    output: _Format = OutputFormat.TABLE,
) -> None:
    """List what was refused, the newest first."""
    from quality_assets.stores.live.letters import dead_letters

    if state not in ("waiting", "replayed", "all"):
        fail(f"--state {state!r} is not one of waiting, replayed, all", 2)
    with _state(root_settings()) as path:
        found = dead_letters(path, reason=reason, state=None if state == "all" else state, limit=limit)
        if reason is not None and not found:
            _say_which_wait(path, reason)
    records = [_record(letter) for letter in found]
    _print(records, _LETTER_COLUMNS, output)


@deadletters.command()
def show(
    number: Annotated[int, typer.Argument(help="The id of a letter.")], output: _Format = OutputFormat.TABLE
) -> None:
    """Show one refused item as it was sent."""
    from quality_assets.stores.live.letters import dead_letters

    with _state(root_settings()) as path:
        found = dead_letters(path, ids=[number])
    if not found:
        fail(f"there is no dead letter {number}; `quality deadletters list --state all` names those that there are")
    record = {**_record(found[0]), "body": _body(found[0].body)}
    if output is OutputFormat.JSON:
        print(json.dumps(record, ensure_ascii=True, indent=2))
        return
    _print([{**record, "body": found[0].body}], (*_LETTER_COLUMNS, "body"), output)


@deadletters.command("replay")
def replay_letters(
    ids: Annotated[list[int] | None, typer.Argument(help="Ids of letters; all that wait where none are given.")] = None,
    reason: _Reason = None,
    where: Annotated[str | None, typer.Option(help="Only items that hold this text.")] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="field.value=replacement, as status.success=ok; may come again.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be accepted.")] = False,
    output: _Format = OutputFormat.TABLE,
) -> None:
    """Send refused items again, mended where --map says how; what is accepted counts once, however often it is sent."""
    from quality_assets.serve.collector.replaying import MappingError, counts_of, parsed_mapping, replay

    settings = root_settings()
    try:
        mended = parsed_mapping(mapping or [])
    except MappingError as error:
        fail(str(error), 2)
    with _state(settings) as path:
        results = replay(settings, ids=ids or (), reason=reason, where=where, mapping=mended, dry_run=dry_run)
        if reason is not None and not results:
            _say_which_wait(path, reason)
    if output is OutputFormat.JSON:
        print(json.dumps({**counts_of(results), "dry_run": dry_run, "items": [_outcome(r) for r in results]}, indent=2))
        return
    _print([_outcome(result) for result in results], ("id", "endpoint", "outcome", "reasons"), output)
    counts = counts_of(results)
    if output is OutputFormat.TABLE:
        verb = "would be accepted" if dry_run else "sent again"
        out.print(f"{counts['accepted']} of {counts['letters']} {verb}, {counts['refused']} still refused")


@contextmanager
def _state(settings: Settings) -> Iterator[Any]:
    from quality_assets.stores.live.chosen import state_exists

    path = settings.live_state
    if not state_exists(path):
        fail(f"there is no collector's state in {settings.data_dir}; `quality collect` makes it")
    yield path


def _say_which_wait(path: Any, reason: str) -> None:
    """Beside the answer: a reason that is misspelt looks like one that nothing has."""
    from collections import Counter

    from quality_assets.stores.live.letters import counts_by_reason

    waiting = Counter[str]()
    for each in counts_by_reason(path):
        waiting[each["reason"]] += each["letters"]
    named = ", ".join(f"{name} ({count:,})" for name, count in waiting.most_common())
    told = f"no letter has the reason {reason!r}; " + (f"those that wait have {named}" if named else "none waits")
    err.print(escape(told))


def _record(letter: Any) -> dict[str, Any]:
    from quality_assets.serve.collector.today import instant

    return {
        "id": letter.id,
        "received_at": instant(letter.received_us),
        "source": letter.source,
        "endpoint": letter.endpoint,
        "reasons": list(letter.reasons),
        "state": letter.state,
        "replays": letter.replays,
    }


def _body(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _outcome(result: Replayed) -> dict[str, Any]:
    return {
        "id": result.letter.id,
        "endpoint": result.letter.endpoint,
        "outcome": "accepted" if result.is_accepted else "refused",
        "reasons": list(result.reasons),
    }


def _print(records: list[dict[str, Any]], columns: tuple[str, ...], output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        print(json.dumps([{name: record[name] for name in columns} for record in records], indent=2))
        return
    rows = [
        tuple(", ".join(record[name]) if isinstance(record[name], list) else record[name] for name in columns)
        for record in records
    ]
    print_rows(columns, iter([rows]), output)


def features_with(settings: Settings, version: int) -> FeatureSet:
    """The features of the root, which have this version; ends the command where they do not, or cannot be read."""
    from quality_assets.domain.live.feature_set import FeatureFileError, load_features

    try:
        definition = load_features(settings.features_path)
    except FeatureFileError as error:
        fail(str(error))
    if version not in definition.versions:
        fail(f"there is no version {version}; there are {', '.join(map(str, definition.versions))}", 2)
    return definition


@app.command()
def features(
    user: Annotated[str, typer.Argument(help="The user.")],
    version: Annotated[int, typer.Option(min=1, help="Version of the features.")] = 1,
    output: _Format = OutputFormat.TABLE,
) -> None:
    """Say what is known of a user just now: the online features, from the collector's state."""
    import time

    from quality_assets.serve.collector.today import instant
    from quality_assets.stores.live.chosen import store_of

    settings = root_settings()
    definition = features_with(settings, version)
    with _state(settings):
        store = store_of(settings, definition)
        try:
            answer = store.read(user, version, time.time_ns() // 1000)
        finally:
            store.close()
    computed_at = instant(answer.as_of_us)
    if output is OutputFormat.JSON:
        shown = {name: {"value": value, "computed_at": computed_at} for name, value in answer.values.items()}
        record = {"user_id": user, "version": version, "known_until": instant(answer.known_us), "features": shown}
        print(json.dumps(record, indent=2))
        return
    described = {feature.name: feature.description for feature in definition.view(version)}
    rows = [(name, value, described[name]) for name, value in answer.values.items()]
    print_rows(("feature", "value", "description"), iter([rows]), output)
    if output is OutputFormat.TABLE:
        until = instant(answer.known_us)
        out.print(f"Events until {until} are in it" if until else "No event is in it yet")
