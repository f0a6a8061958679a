"""`quality training-set`: online features as they were known at past instants."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.live import features_with
from quality_assets.cli.output import fail, out


@app.command("training-set")
def training_set(
    asked: Annotated[
        Path, typer.Argument(help="CSV or Parquet with user_id, as_of, and what else shall stay, such as a label.")
    ],
    to: Annotated[Path, typer.Option("--out", help="Parquet file to write; one that is there is replaced.")],
    version: Annotated[int, typer.Option(min=1, help="Version of the features.")] = 1,
) -> None:
    """Say what the online features of users were at past instants, from what is published: to train a model on.

    An event that came, or was received, after an instant is in none of its features: nothing leaks from the future.
    """
    import pyarrow.parquet as pq

    from quality_assets.read.reader import SnapshotStore
    from quality_assets.read.training_set import AskedFileError
    from quality_assets.read.training_set import training_set as known_then

    settings = root_settings()
    definition = features_with(settings, version)
    reader = SnapshotStore(settings.published_dir).reader()
    if reader is None:
        fail(f"nothing is published in {settings.data_dir} yet; `quality run` builds and publishes")
    try:
        rows = known_then(reader.arrow, asked, definition, version)
    except AskedFileError as error:
        fail(str(error), 2)
    try:
        pq.write_table(rows, to)
    except OSError as error:
        fail(f"{to} cannot be written: {error}")
    out.print(f"{rows.num_rows:,} rows in {to}")
