"""The command `quality model deploy`: bring a model that was learnt elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from quality_assets.cli.app import root_settings, user_name
from quality_assets.cli.output import fail, shown_activity
from quality_assets.cli.use_cases import RISK, models, told_errors
from quality_assets.settings import Settings


@models.command()
def deploy(
    name: Annotated[str, typer.Argument(help="By which it is asked: small letters, digits, underscores.")],
    kind: Annotated[Literal["classification", "regression"], typer.Option(help="What it predicts.")],
    model: Annotated[Path, typer.Option("--model", help="A skops file; pickle and joblib are refused.")],
    sample: Annotated[Path, typer.Option(help="CSV or Parquet: its inputs, and the target if there is one.")],
    target: Annotated[str | None, typer.Option(help="Which column of the sample is the target.")] = None,
    only_check: Annotated[bool, typer.Option("--only-check", help="Show the contract, keep nothing.")] = False,
) -> None:
    """Judge a model on a sample of its rows, keep it as the version in use, and print the contract as JSON."""
    from quality_assets.domain.models.learning.known_use_cases import TABULAR
    from quality_assets.stores.user_models import Brought
    from quality_assets.tables.brought_models import bring

    if name in (*TABULAR, RISK):
        fail(f"{name} is a model of this product; choose another name", 2)
    try:
        brought = Brought(name, kind, model.read_bytes(), sample.read_bytes(), model.name, target)
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror}", 2)
    with told_errors(), shown_activity(f"judging {name}"):
        told = bring(root_settings(), brought, user_name(), only_check=only_check)
    print(json.dumps(told, indent=1))


def version_rows_of_brought(settings: Settings, name: str) -> list[dict[str, object]]:
    """Every version of a model that was brought: when, by whom, what it is, how well it does on its sample."""
    from quality_assets.domain.models.learning.release_stack import standing
    from quality_assets.read.brought_models import told_of
    from quality_assets.stores.releases import release_log

    releases = release_log(settings).of(name)
    return [
        {
            "version": each["version"], "stage": standing(releases, each["version"]),
            "created_at": each["created_at"], "candidate": each["candidate"], "actor": each["actor"],
            **(each["on_sample"] or {}),
        }
        for each in told_of(settings, name)["versions"]
    ]  # fmt: skip


def show_brought(settings: Settings, name: str, version: str | None) -> None:
    """What is kept of a version, as JSON."""
    from quality_assets.stores.user_models import about_model
    from quality_assets.tables.brought_models import version_in_use

    with told_errors():
        told = about_model(settings.models_dir, name, version or version_in_use(settings, name))
    print(json.dumps(told, indent=1))


def predict_by_brought(settings: Settings, name: str, rows: list[Any]) -> list[dict[str, Any]]:
    """What a model that was brought says of rows; the command ends where one is refused."""
    from quality_assets.domain.models.learning.requests import RefusedRowError
    from quality_assets.tables.brought_models import predict

    found = []
    for at, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            fail(f"row {at} is refused: it is no object of inputs by name")
        try:
            with told_errors():
                found.append(predict(settings, name, row))
        except RefusedRowError as error:
            fail(f"row {at} is refused: {error}")
    return found
