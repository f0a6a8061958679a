"""Commands about models that learn from tables: train, and the group `model`."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings, user_name
from quality_assets.cli.output import OutputFormat, fail, out, print_rows, shown_activity
from quality_assets.cli.use_cases import (
    RISK,
    AnyModelName,
    AtOption,
    DoneAtOption,
    FormatOption,
    ReasonOption,
    checked_name,
    is_brought,
    models,
    tabular,
    told_errors,
)
from quality_assets.cli.user_models import show_brought, version_rows_of_brought
from quality_assets.settings import Settings

if TYPE_CHECKING:
    from quality_assets.domain.models.learning.tabular import TabularUseCase
    from quality_assets.tables.learning import TrainedTable

ALL = "all"
MODES = ("baseline", "tuned", "both")


@app.command()
def train(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE", help="sales, housing, feature_risk, or all.")],
    data: Annotated[Path | None, typer.Option(help="A CSV file, plain or .gz, that becomes the training set.")] = None,
    selection_mode: Annotated[str, typer.Option(help="baseline, tuned or both: the settings that are tried.")] = (
        "baseline"
    ),
    promote: Annotated[bool, typer.Option("--promote", help="Put it in use if it beats all there is.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Learn from rows that are made up, whose truth is known.")] = (
        False
    ),
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Train the next version of a model, keep it with its evidence, and say how good it is on rows it has not seen."""
    if selection_mode not in MODES:
        fail(f"--selection-mode is one of {', '.join(MODES)}, not {selection_mode!r}", 2)
    if data is not None and use_case in (RISK, ALL):
        fail("--data names the training set of one use case that learns from a table", 2)
    if data is not None and demo:
        fail("--demo learns from rows that are made up, and --data from a file: leave one out", 2)
    settings = root_settings()
    names = [*_table_names(), RISK] if use_case == ALL else [checked_name(use_case)]
    for name in names:
        if name == RISK:
            _train_risk(settings)
        else:
            _train_table(settings, tabular(name), data, selection_mode, promote, demo, output)


def _table_names() -> list[str]:
    from quality_assets.domain.models.learning.known_use_cases import TABULAR

    return list(TABULAR)


def _train_table(
    settings: Settings, use_case: TabularUseCase, data: Path | None, mode: Any, promote: bool, demo: bool,
    output: OutputFormat,
) -> None:  # fmt: skip
    from quality_assets.progress import report
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables import learning

    with told_errors(), shown_activity(f"training {use_case.name}"), open_warehouse(settings) as session:
        if data is not None:
            learning.load_training_set(session, use_case, data)
        elif demo:
            from quality_assets.simulate.tables import MADE_UP, made_up_rows

            if use_case.name not in MADE_UP:
                name = use_case.name
                fail(f"no rows are made up for {name}: `quality train {name} --data FILE` learns from yours", 2)
            learning.write_training_set(session, use_case, made_up_rows(use_case.name))
        try:
            trained = learning.train_version(session, use_case, mode, report, release=promote)
        except learning.NothingToLearnError as error:
            fail(str(error))
    if output is OutputFormat.JSON:
        print(json.dumps(_account(settings, use_case, trained.version) | {"released": trained.release is not None}))
    else:
        _print_trained(use_case, trained, asked=promote)
    show_tables(settings)


def _print_trained(use_case: TabularUseCase, trained: TrainedTable, *, asked: bool) -> None:
    from quality_assets.cli.learning_words import trained_lines

    for line in trained_lines(use_case, trained, asked=asked):
        out.print(escape(line))


def _train_risk(settings: Settings) -> None:
    from quality_assets.progress import report
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables import models as risk
    from quality_assets.tables.model_inputs import build_labels_and_inputs

    with shown_activity("training feature_risk"), open_warehouse(settings) as session:
        build_labels_and_inputs(session, report)
        trained = risk.train(session, report)
    out.print(escape(f"feature_risk: version {trained.version}. {trained.decision.reason}"))
    show_tables(settings)


def show_tables(settings: Settings) -> None:
    """Publish, so that what was trained or released is seen; where publication is refused, it comes with the next."""
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables.publishing import Refusal, publish_warehouse

    with open_warehouse(settings) as session:
        outcome = publish_warehouse(session, "models")
    if isinstance(outcome, Refusal):
        out.print(escape(f"Readers see it after the next publication, which is refused just now: {outcome.reasons[0]}"))


def parsed_time(text: str | None, what: str) -> datetime | None:
    """An instant that was typed; None where none was. The command ends where it is none."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        fail(f"{what} {text!r} is not a time like 2026-01-31T12:00", 2)


@models.command("list")
def list_versions(use_case: AnyModelName, output: FormatOption = OutputFormat.TABLE) -> None:
    """Every version, how well it did on rows it had not seen, and which one is in use."""
    settings = root_settings()
    if checked_name(use_case, brought=True) == RISK:
        from quality_assets.cli.risk_versions import risk_version_rows

        rows = risk_version_rows(settings)
    elif is_brought(use_case):
        rows = version_rows_of_brought(settings, use_case)
    else:
        from quality_assets.tables.learning import version_rows

        rows = version_rows(settings, tabular(use_case))
    if not rows and output is OutputFormat.TABLE:
        out.print(f"There is no version of {use_case} yet: `quality train {use_case}`")
        return
    names = list(rows[0]) if rows else ["version", "stage"]
    if output is OutputFormat.TABLE:
        names = [name for name in names if name in _SHOWN_COLUMNS]
        rows = [{name: _short(row[name]) for name in names} for row in rows]
    print_rows(names, iter([[tuple(row[name] for name in names) for row in rows]]), output)


_SHOWN_COLUMNS = ("version", "stage", "created_at", "candidate", "split", "r2", "rmse", "coverage", "wins")


def _short(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)[:24]


@models.command()
def show(
    use_case: AnyModelName,
    version: Annotated[str | None, typer.Argument(help="The one in use, else the newest, where not named.")] = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """All that is told of a version: what it learnt from, what was refused, how well it does, its reference row."""
    settings = root_settings()
    if checked_name(use_case, brought=True) == RISK:
        from quality_assets.cli.risk_versions import show_risk_version

        show_risk_version(settings, version, output)
        return
    if is_brought(use_case):
        show_brought(settings, use_case, version)
        return
    with told_errors():
        account = _account(settings, tabular(use_case), version)
    if output is OutputFormat.JSON:
        print(json.dumps(account, indent=1))
        return
    from quality_assets.cli.learning_words import account_lines

    for line in account_lines(account):
        out.print(escape(line))


def _account(settings: Settings, use_case: TabularUseCase, version: str | None) -> dict[str, Any]:
    """What is told of a version, with where it stands and whether it can be used."""
    from quality_assets.domain.models.learning.release_stack import in_use, standing
    from quality_assets.stores.released import VersionUnavailableError, load_version, manifest, manifests
    from quality_assets.stores.releases import release_log

    releases = release_log(settings).of(use_case.name)
    current = in_use(releases)
    if version is None:
        known = manifests(settings.models_dir, use_case.name)
        if current is None and not known:
            raise VersionUnavailableError(
                f"there is no version of {use_case.name} yet: `quality train {use_case.name} --data FILE`"
            )
        version = current.version if current is not None else known[-1]["version"]
    told = manifest(settings.models_dir, use_case.name, version)
    is_current = current is not None and current.version == version
    try:
        load_version(settings.models_dir, use_case, version, current.evidence if is_current and current else None)
        why = None
    except VersionUnavailableError as error:
        why = str(error)
    return {"stage": standing(releases, version), "is_usable": why is None, "why_not": why, **told}


@models.command()
def promote(
    use_case: AnyModelName,
    version: Annotated[str, typer.Argument(help="Its number, as `quality model list` shows it.")],
    at: DoneAtOption = None,
    reason: ReasonOption = "promoted by hand",
) -> None:
    """Put a version in use, if it passes its gates: it loads, it is the file that was saved, it answers as it did."""
    when = parsed_time(at, "--at")
    settings = root_settings()
    with told_errors():
        if checked_name(use_case, brought=True) == RISK:
            from quality_assets.cli.risk_versions import promote_risk

            done = promote_risk(settings, version, user_name(), reason, when)
        elif is_brought(use_case):
            from quality_assets.tables import brought_models

            done = brought_models.put_in_use(settings, use_case, version, actor=user_name(), reason=reason, at=when)
        else:
            from quality_assets.tables import learning

            done = learning.promote(settings, tabular(use_case), version, actor=user_name(), reason=reason, at=when)
    if done is None:
        out.print(f"Version {escape(version)} of {use_case} is in use already.")
        return
    out.print(f"Version {escape(version)} of {use_case} is in use (release {done.seq}).")
    show_tables(settings)


@models.command()
def rollback(use_case: AnyModelName, at: DoneAtOption = None, reason: ReasonOption = "rolled back by hand") -> None:
    """Take the last promotion back, to any depth: the version before it is in use again."""
    when = parsed_time(at, "--at")
    settings = root_settings()
    with told_errors():
        if checked_name(use_case, brought=True) == RISK:
            from quality_assets.cli.risk_versions import rollback_risk

            done = rollback_risk(settings, user_name(), reason, when)
        elif is_brought(use_case):
            from quality_assets.tables import brought_models

            done = brought_models.take_back(settings, use_case, actor=user_name(), reason=reason, at=when)
        else:
            from quality_assets.tables import learning

            done = learning.rollback(settings, tabular(use_case), actor=user_name(), reason=reason, at=when)
    out.print(f"Version {escape(done.version)} of {use_case} is in use again (release {done.seq}).")
    show_tables(settings)


@models.command("live-at")
def live_at(
    use_case: AnyModelName,
    time: Annotated[str | None, typer.Argument(help="E.g. 2026-01-31T12:00; UTC where it has no zone.")] = None,
    at: AtOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Which version was in use at a time, from when and until when; now where no time is named."""
    from datetime import UTC

    from quality_assets.domain.models.learning.release_stack import live_at as found_at
    from quality_assets.stores.releases import release_log

    settings = root_settings()
    when = parsed_time(time if time is not None else at, "the time") or datetime.now(UTC)
    if checked_name(use_case, brought=True) == RISK:
        from quality_assets.tables.risk_releases import adopt_risk_releases

        adopt_risk_releases(settings)
    found = found_at(release_log(settings).of(use_case), when)
    told = {
        "version": found.version,
        "since": _instant(found.since),
        "until": _instant(found.until),
    }
    if output is OutputFormat.JSON:
        print(json.dumps(told))
    elif found.version is None:
        out.print(f"No version of {use_case} was in use then.")
    else:
        until = f"until {told['until']}" if told["until"] else "and still is"
        out.print(f"Version {escape(found.version)} of {use_case} was in use from {told['since']} {until}.")


def _instant(when: datetime | None) -> str | None:
    from datetime import UTC

    return None if when is None else when.replace(tzinfo=UTC).isoformat()
