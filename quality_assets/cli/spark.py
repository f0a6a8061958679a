"""`quality spark`: facts and features of a lake on Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from quality_assets.cli.app import app, parse_day, root_settings
from quality_assets.cli.live import features_with
from quality_assets.cli.output import fail, out

spark = typer.Typer(help="Facts and features on Spark, from the same definitions, over the same lake.")
app.add_typer(spark, name="spark")

_Lake = Annotated[Path | None, typer.Option(help="The folder `lake` of a data root; that of this root if not given.")]
_Out = Annotated[Path | None, typer.Option("--out", help="Folder to write Parquet to; what is there is replaced.")]


@spark.command()
def facts(lake: _Lake = None, out_dir: _Out = None) -> None:
    """Compute product.fact_feature_metrics: metrics by feature and day."""
    from quality_assets.domain.features.descriptions import read_feature_descriptions
    from quality_assets.stores import spark as engine

    settings = root_settings()
    described = read_feature_descriptions(settings.feature_metadata_path)
    thresholds = [
        (feature, None if threshold != threshold else float(threshold))
        for feature, threshold in zip(described["feature"], described["apdex_threshold_ms"], strict=True)
    ]
    _run(
        lambda session: engine.facts(session, lake or settings.lake_dir, thresholds, settings.apdex_threshold_ms),
        out_dir,
        "days of features",
    )


@spark.command()
def features(
    lake: _Lake = None,
    out_dir: _Out = None,
    version: Annotated[int, typer.Option(min=1, help="Version of the features.")] = 1,
    day: Annotated[str | None, typer.Option(help="As of the end of this day; the newest if not given.")] = None,
) -> None:
    """Compute the online features of all users of the last seven days."""
    from quality_assets.stores import spark as engine

    settings = root_settings()
    definition = features_with(settings, version)
    wanted = parse_day(day, "--day")
    _run(
        lambda session: engine.features(session, lake or settings.lake_dir, definition, version, wanted),
        out_dir,
        "users",
    )


@spark.command()
def stream(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of tiles, and of how far the job has come.")],
    landing: Annotated[
        Path | None, typer.Option(help="Folder of the collector's landed files; that of this root if not given.")
    ] = None,
    files_at_once: Annotated[int, typer.Option(min=1, help="How many files a step takes at most.")] = 100,
) -> None:
    """Follow the landed files of the collector by Structured Streaming: tiles of online features, each event once.

    It takes what has landed since it was last run, and ends. Killed, it goes on where it stood when it is run again.
    """
    from quality_assets.stores import spark as engine
    from quality_assets.stores.spark_stream import follow_landing

    settings = root_settings()
    definition = features_with(settings, 1)
    try:
        with engine.spark_session("feature-quality-stream") as session:
            folder = landing or settings.landing_dir / "collector"
            tiles = follow_landing(session, folder, out_dir.resolve(), definition, files_at_once)
    except engine.SparkMissingError as error:
        fail(str(error))
    out.print(f"{tiles:,} tiles in {out_dir / 'tiles'}")


def _run(compute: Any, out_dir: Path | None, what: str) -> None:
    from quality_assets.stores.spark import SparkMissingError, spark_session

    try:
        with spark_session("feature-quality") as session:
            frame = compute(session).cache()
            rows = frame.count()
            if out_dir is not None:
                frame.coalesce(1).write.mode("overwrite").parquet(str(out_dir.resolve()))
            else:
                frame.show(20, truncate=False)
    except SparkMissingError as error:
        fail(str(error))
    out.print(f"{rows:,} {what}" + (f" in {out_dir}" if out_dir else ""))
