"""The command `quality model deploy`: bring a model that was learnt elsewhere."""

from __future__ import annotations

import json
from getpass import getuser
from pathlib import Path
from typing import Annotated, Literal

import typer

from quality_assets.cli.app import root_settings
from quality_assets.cli.learning import RISK, models
from quality_assets.cli.output import fail, shown_activity


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
    from quality_assets.stores.user_models import Brought, BusyError, RefusedModelError
    from quality_assets.stores.user_models import deploy as keep

    if name in (*TABULAR, RISK):
        fail(f"{name} is a model of this product; choose another name", 2)
    try:
        brought = Brought(name, kind, model.read_bytes(), sample.read_bytes(), model.name, target)
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror}", 2)
    try:
        with shown_activity(f"judging {name}"):
            told = keep(root_settings().models_dir, brought, getuser(), only_check=only_check)
    except (RefusedModelError, BusyError) as error:
        fail(str(error))
    print(json.dumps(told, indent=1))
