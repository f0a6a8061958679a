"""Spark Structured Streaming from the collector's landed files to tiles, each event once, whenever it is stopped.

A step takes files that it has not taken yet, drops ids that it has seen, and writes the tiles of what is left as a part
of its own; the same step done again writes the same part again. Parts are added up: counts and sums by sum, the latest
by max, so that late events add to the tile that they belong to, and no window closes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quality_assets.domain.live.compiler import lake_events_sql, merged_tiles_sql, partial_tiles_sql
from quality_assets.domain.live.expressions import SPARK
from quality_assets.domain.live.feature_set import FeatureSet
from quality_assets.stores.spark import SparkMissingError

_SCHEMA = (
    "event_id string, event_time timestamp_ntz, received_at timestamp_ntz, user_id string, event_name string,"
    " status string, device_type string, feature string, platform string, country string, latency_ms double"
)
# By the time of receipt, as the collector remembers ids: events may be older by far than what is received with them.
_REMEMBERED = "48 hours"
_PARTS, _TILES, _CHECKPOINT = "parts", "tiles", "checkpoint"


def follow_landing(spark: Any, landing: Path, out: Path, features: FeatureSet, files_at_once: int) -> int:
    """Take the files that have landed since the last call, and add their tiles to `out`; how many tiles there are.

    `out` keeps parts, tiles and how far it has come. Raises SparkMissingError where nothing has landed yet.
    """
    if not next(landing.glob("*.parquet"), None):
        raise SparkMissingError(f"{landing} has no landed files; `quality collect --land-now` lands what waits")
    # What is remembered is kept in so many parts from the first run on: each costs a file a step.
    spark.conf.set("spark.sql.shuffle.partitions", spark.sparkContext.defaultParallelism)
    files = spark.readStream.schema(_SCHEMA).option("maxFilesPerTrigger", files_at_once)
    received = files.parquet(str(landing)).withColumn("received", _as_timestamp("received_at"))
    once = received.withWatermark("received", _REMEMBERED).dropDuplicatesWithinWatermark(["event_id"])

    def keep(step: Any, number: int) -> None:
        step.createOrReplaceTempView("landed")
        text = partial_tiles_sql(features, lake_events_sql("landed", SPARK), SPARK)
        tiles = step.sparkSession.sql(text)
        tiles.coalesce(1).write.mode("overwrite").parquet(str(out / _PARTS / f"step={number}"))

    query = (
        once.writeStream.foreachBatch(keep)
        .option("checkpointLocation", str(out / _CHECKPOINT))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    return _merged(spark, out, features)


def _as_timestamp(name: str) -> Any:
    from importlib import import_module

    return import_module("pyspark.sql.functions").col(name).cast("timestamp")


def _merged(spark: Any, out: Path, features: FeatureSet) -> int:
    spark.read.parquet(str(out / _PARTS)).createOrReplaceTempView("parts")
    tiles = spark.sql(merged_tiles_sql(features, "parts"))
    tiles.coalesce(1).write.mode("overwrite").parquet(str(out / _TILES))
    return int(spark.read.parquet(str(out / _TILES)).count())
