"""Facts and features on Spark, by the same texts as DuckDB's, over the same lake.

For a lake that one machine does not read in time. Spark is an extra (`pip install feature-quality[spark]`) and needs
Java 17; without a cluster it runs on the cores that are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from quality_assets.domain.events.tables import fact_feature_metrics_sql, user_feature_days_sql
from quality_assets.domain.live.compiler import lake_events_sql, offline_sql
from quality_assets.domain.live.expressions import SPARK
from quality_assets.domain.live.feature_set import FeatureSet

_EPOCH = date(1970, 1, 1)
_DAY_US = 86_400_000_000
_WEEK_DAYS = 8


class SparkMissingError(RuntimeError):
    """Spark, Java or the lake is not there. The message says what to do."""


@contextmanager
def spark_session(name: str) -> Iterator[Any]:
    """A Spark session in UTC; where it runs is what `spark-submit` or SPARK_CONF_DIR say. Raises SparkMissingError."""
    try:
        # No stubs of an extra: what is not installed is not checked.
        builder = import_module("pyspark.sql").SparkSession.builder
    except ImportError:
        raise SparkMissingError("Spark is not installed: pip install 'feature-quality[spark]', and Java 17") from None
    try:
        session = (
            builder.appName(name)
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "16")
            .getOrCreate()
        )
    except Exception as error:
        raise SparkMissingError(f"Spark does not start; it needs Java 17 (JAVA_HOME): {error}") from None
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()


def read_events(spark: Any, lake: Path) -> None:
    """Make the lake's valid events the view `events`. Raises SparkMissingError where there are none."""
    folder = lake / "valid_events"
    if not next(folder.glob("*/*.parquet"), None):
        raise SparkMissingError(f"{lake} has no valid events; --lake is the folder `lake` of a root that was built")
    files = spark.read.option("mergeSchema", "true").option("recursiveFileLookup", "true")
    files.parquet(str(folder)).createOrReplaceTempView("events")


def facts(spark: Any, lake: Path, thresholds: list[tuple[str, float | None]], apdex_threshold_ms: float) -> Any:
    """The rows of product.fact_feature_metrics as a Spark frame; `thresholds` are those of features (ms)."""
    read_events(spark, lake)
    schema = "feature string, apdex_threshold_ms double"
    spark.createDataFrame(thresholds, schema).createOrReplaceTempView("descriptions")
    spark.sql(user_feature_days_sql("events")).createOrReplaceTempView("user_days")
    text = fact_feature_metrics_sql("events", "user_days", "descriptions", "spark")
    return spark.sql(text, args={"apdex_threshold_ms": apdex_threshold_ms})


def features(spark: Any, lake: Path, definition: FeatureSet, version: int, day: date | None = None) -> Any:
    """The features of all users of seven days at the end of a day, the newest where not given, as a Spark frame."""
    read_events(spark, lake)
    newest = day or spark.sql("select max(event_date) as day from events").first()["day"]
    as_of_us = (newest - _EPOCH).days * _DAY_US + _DAY_US - 1
    first = newest - timedelta(days=_WEEK_DAYS)
    week = f"(select * from events where event_date > date'{first}' and event_date <= date'{newest}')"
    instant = f"cast({as_of_us} as bigint) as as_of_us, cast({1 << 62} as bigint) as visible_us"
    asked = f"(select distinct user_id, {instant} from {week} where user_id is not null)"
    text = offline_sql(definition, version, asked, lake_events_sql(week, SPARK), SPARK)
    return spark.sql(f"select date'{newest}' as event_date, * from ({text}) order by user_id")
