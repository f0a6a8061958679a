"""What commands about models share: the group `model`, names of use cases, options, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import OutputFormat, fail
from quality_assets.contracts.risk_inputs import RISK

if TYPE_CHECKING:
    from quality_assets.domain.models.learning.tabular import TabularUseCase

TableName = Annotated[str, typer.Argument(metavar="USE_CASE", help="sales or housing.")]
AskedName = Annotated[str, typer.Argument(metavar="USE_CASE", help="sales, housing, or a model that was brought.")]
AnyModelName = Annotated[
    str, typer.Argument(metavar="USE_CASE", help="sales, housing, feature_risk, or a model that was brought.")
]
FormatOption = Annotated[OutputFormat, typer.Option("--format", help="table, csv or json.")]
AtOption = Annotated[str | None, typer.Option("--at", help="When, e.g. 2026-01-31T12:00; UTC where it has no zone.")]
DoneAtOption = Annotated[
    str | None,
    typer.Option("--at", help="When it was done, if not just now, e.g. 2026-01-31T12:00; UTC where it has no zone."),
]
ReasonOption = Annotated[str, typer.Option(help="Why, for the log of releases.")]

models = typer.Typer(
    name="model", help="Versions of models: which there are, which is in use, and what was when.", no_args_is_help=True
)
app.add_typer(models)


def tabular(name: str) -> TabularUseCase:
    """A use case that learns from a table, by its name; the command ends where there is none."""
    from quality_assets.domain.models.learning.known_use_cases import TABULAR

    if name not in TABULAR:
        fail(f"there is no use case {name!r} that learns from a table; there are {', '.join(TABULAR)}", 2)
    return TABULAR[name]


def checked_name(name: str, *, brought: bool = False) -> str:
    """The name of a use case, or with `brought` of a model that people brought; the command ends where it is none."""
    if name != RISK:
        from quality_assets.domain.models.learning.known_use_cases import TABULAR

        if name not in TABULAR and not (brought and is_brought(name)):
            known = ", ".join((*TABULAR, RISK, *(_brought_names() if brought else ())))
            fail(f"there is no use case {name!r}; there are {known}", 2)
    return name


def is_brought(name: str) -> bool:
    """Whether people brought a model of this name."""
    return name in _brought_names()


def _brought_names() -> list[str]:
    from quality_assets.stores.user_models import USER_FOLDER

    # Looked up first, since what is asked for is mostly ours, and the rest takes long to import.
    if not (root_settings().models_dir / USER_FOLDER).is_dir():
        return []
    from quality_assets.tables import brought_models

    return brought_models.names(root_settings())


@contextmanager
def told_errors() -> Iterator[None]:
    """What is wrong with what was asked, as a sentence and exit code 1."""
    from quality_assets.domain.models.learning.learnable import CannotLearnError
    from quality_assets.domain.models.learning.release_stack import (
        NoEarlierReleaseError,
        ReleaseAheadError,
        ReleaseConflictError,
    )
    from quality_assets.stores.released import VersionUnavailableError
    from quality_assets.stores.table_files import TableFileError
    from quality_assets.stores.user_models import AlteredModelError, BusyError, RefusedModelError, UnknownModelError

    try:
        yield
    except (
        CannotLearnError, NoEarlierReleaseError, ReleaseAheadError, ReleaseConflictError, VersionUnavailableError,
        TableFileError, AlteredModelError, BusyError, RefusedModelError, UnknownModelError,
    ) as error:  # fmt: skip
        fail(str(error))
