"""`quality selftest`: does a running instance do what it should, in twelve kinds of question, in words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import OutputFormat, out, print_rows
from quality_assets.settings import Settings

if TYPE_CHECKING:
    import httpx

PASSED, FAILED, NOT_CONFIGURED = "passed", "failed", "not configured"
_FEATURE = "Self-test"
_KNOWN_WITHIN_S = 10.0


@dataclass(frozen=True)
class Outcome:
    """What one kind of question came to: passed, failed, or not configured, and why."""

    category: str
    status: str
    detail: str


class _FailedError(Exception):
    """What was asked is not so. The message says what was found."""


class _NotConfiguredError(Exception):
    """What was asked for is not there on purpose. The message says what would set it up."""


@app.command()
def selftest(
    url: Annotated[str | None, typer.Option(help="The collector; that of this root where not given.")] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How results are printed.")] = OutputFormat.TABLE,
) -> None:
    """Ask a running instance whether it does what it should: health, ingestion, features, letters, measures.

    It sends a few events of the feature "Self-test". What is not configured is said to be so, and is never passed.
    """
    import httpx

    from quality_assets.read.live import headers_of

    settings = root_settings()
    base = url or f"http://{settings.collector_host}:{settings.collector_port}"
    # Proxies that the environment names lead outside; to a collector that was named one may be the way.
    is_elsewhere = url is not None
    with httpx.Client(base_url=base, headers=headers_of(settings), timeout=10.0, trust_env=is_elsewhere) as client:
        outcomes = [_outcome(name, ask, client, settings) for name, ask in _CATEGORIES.items()]
    if output is OutputFormat.JSON:
        print(json.dumps([asdict(each) for each in outcomes], indent=2))
    else:
        rows: list[tuple[Any, ...]] = [(each.category, each.status, each.detail) for each in outcomes]
        print_rows(("category", "status", "detail"), iter([rows]), output)
    counts = {status: sum(each.status == status for each in outcomes) for status in (PASSED, FAILED, NOT_CONFIGURED)}
    if output is OutputFormat.TABLE:
        out.print(", ".join(f"{n} {status}" for status, n in counts.items()))
    if counts[FAILED]:
        raise typer.Exit(1)


def _outcome(
    name: str, ask: Callable[[httpx.Client, Settings], str], client: httpx.Client, settings: Settings
) -> Outcome:
    import httpx

    try:
        return Outcome(name, PASSED, ask(client, settings))
    except _NotConfiguredError as missing:
        return Outcome(name, NOT_CONFIGURED, str(missing))
    except _FailedError as found:
        return Outcome(name, FAILED, str(found))
    except httpx.HTTPError as error:
        return Outcome(name, FAILED, f"{client.base_url} does not answer: {type(error).__name__}")


def _get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = client.get(path, params=parameters)
    if not answer.is_success:
        raise _FailedError(f"{path} answers {answer.status_code}: {answer.text[:200]}")
    return answer.json()


def _service_health(client: httpx.Client, _: Settings) -> str:
    for path in ("/health", "/ready"):
        _get(client, path)
    return "the collector lives, its processor keeps up, its log can be written"


def _processor_configuration(client: httpx.Client, settings: Settings) -> str:
    from quality_assets.domain.live.feature_set import FeatureFileError, load_features

    try:
        features = load_features(settings.features_path)
    except FeatureFileError as error:
        raise _FailedError(str(error)) from None
    served = _get(client, "/features/selftest")["features"]
    defined = {feature.name for feature in features.view(1)}
    if set(served) != defined:
        raise _FailedError(f"{settings.features_path} and what is served differ: {sorted(set(served) ^ defined)}")
    return f"{len(features.aggregates)} aggregates, {len(defined)} features, versions {list(features.versions)}"


def _api_health(client: httpx.Client, _: Settings) -> str:
    started = time.perf_counter()
    _get(client, "/features/selftest")
    if client.get("/features/selftest/no_such_feature").status_code != 404:
        raise _FailedError("a feature that there is none of is not answered by 404")
    return f"features of a user came within {(time.perf_counter() - started) * 1000:.0f} ms"


def _ingestion(client: httpx.Client, _: Settings) -> str:
    answer = client.post("/ingest", json=_event("view"))
    if answer.status_code == 401:
        raise _NotConfiguredError("write keys are asked for, and none was given to this test")
    if not answer.is_success:
        raise _FailedError(f"an event is answered by {answer.status_code}: {answer.text[:200]}")
    return "an event was acknowledged, and is on the disk"


def _computation(client: httpx.Client, _: Settings) -> str:
    user = f"selftest-{uuid4()}"
    started = time.perf_counter()
    batch = [_event("purchase", user), _event("view", user), _event("view", user)]
    answer = client.post("/ingest/batch", json={"batch": batch})
    if answer.status_code == 401:
        raise _NotConfiguredError("write keys are asked for, and none was given to this test")
    while time.perf_counter() - started < _KNOWN_WITHIN_S:
        values = {name: each["value"] for name, each in _get(client, f"/features/{user}")["features"].items()}
        if values["activity_count_1h"] == 3:
            break
        time.sleep(0.005)
    wanted = {"activity_count_24h": 3, "purchase_count_24h": 1, "engagement_score": 21, "user_segment": "buyer"}
    wrong = [f"{name} is {values[name]}, not {value}" for name, value in wanted.items() if values[name] != value]
    if wrong:
        raise _FailedError("; ".join(wrong))
    return f"three events were in the features {(time.perf_counter() - started) * 1000:.0f} ms after they were sent"


def _ab_testing(client: httpx.Client, _: Settings) -> str:
    from hashlib import md5

    for user in (f"selftest-{n}" for n in range(20)):
        arm = _get(client, f"/features/{user}/ab_variant")["value"]
        wanted = "A" if md5(f"quality.{user}".encode(), usedforsecurity=False).hexdigest()[:8] < "80000000" else "B"
        if arm != wanted:
            raise _FailedError(f"{user} is in arm {arm}, and belongs to {wanted}")
    return "twenty users are in the arms that their names give"


def _drift(_: httpx.Client, settings: Settings) -> str:
    from quality_assets.read.reader import SnapshotStore

    reader = SnapshotStore(settings.published_dir).reader()
    if reader is None:
        raise _NotConfiguredError("no snapshot is published yet: `quality run` builds and publishes one")
    if not reader.has("monitoring.data_drift"):
        raise _FailedError("the published snapshot has no monitoring.data_drift")
    (row,) = reader.rows("select count(*) as n, max(event_date) as day from monitoring.data_drift")
    if not row["n"]:
        raise _NotConfiguredError("there are not enough days yet to judge drift by")
    return f"{row['n']:,} distributions were judged, the last on {row['day']}"


def _database(_: httpx.Client, settings: Settings) -> str:
    from quality_assets.stores.live.sqlite import one_row, opened

    if settings.live_url is not None:
        return _postgresql(settings)
    if not settings.live_dir.exists():
        raise _NotConfiguredError(f"{settings.live_dir} is not on this machine")
    sizes = []
    for name in ("log.db", "state.db"):
        path = settings.live_dir / name
        if not path.exists():
            raise _FailedError(f"{path} is gone")
        connection = opened(path, synchronous="NORMAL", read_only=True)
        try:
            said = one_row(connection, "pragma quick_check")[0]
        finally:
            connection.close()
        if said != "ok":
            raise _FailedError(f"{path}: {said}")
        sizes.append(f"{name} {path.stat().st_size / 1e6:.1f} MB")
    return f"SQLite finds both files whole ({', '.join(sizes)})"


def _postgresql(settings: Settings) -> str:
    import psycopg

    from quality_assets.stores.live.chosen import asked_state

    try:
        state = asked_state(settings.live_state)
        (tiles,) = state.execute("select count(*) from tiles").fetchone()
        state.close()
    except psycopg.Error as error:
        raise _FailedError(f"PostgreSQL of QUALITY_LIVE_URL: {error}") from None
    return f"PostgreSQL answers, and has {tiles:,} tiles"


def _cache(client: httpx.Client, settings: Settings) -> str:
    if settings.redis_url is None or settings.live_url is None:
        raise _NotConfiguredError("features are read from SQLite itself; Redis stands before PostgreSQL only")
    user = f"selftest-{uuid4()}"
    first, second = (_get(client, f"/features/{user}/activity_count_1h")["computed_at"] for _ in range(2))
    if first != second:
        raise _FailedError("the second read of a user's features did not come from the cache: does Redis answer?")
    return "the second read of a user's features came from the cache"


def _topics(client: httpx.Client, settings: Settings) -> str:
    if settings.kafka_brokers is None:
        raise _NotConfiguredError("the log is a file; topics are there with a Kafka-protocol broker only")
    from confluent_kafka import KafkaException

    from quality_assets.stores.live.kafka import TOPICS, partitions_of_topics

    try:
        there = partitions_of_topics(settings.kafka_brokers)
    except KafkaException as error:
        raise _FailedError(f"the brokers at {settings.kafka_brokers} do not answer: {error}") from None
    wrong = [name for name in TOPICS if there.get(name) != settings.kafka_partitions]
    if wrong:
        raise _FailedError(f"not in {settings.kafka_partitions} partitions: {', '.join(wrong)}; there are {there}")
    lag = _get(client, "/live/collector")["log_lag_records"]
    return f"the topics are there in {settings.kafka_partitions} partitions, and {lag} records wait to be processed"


def _measures(client: httpx.Client, _: Settings) -> str:
    text = client.get("/metrics").text
    wanted = (
        "events_processed_total", "events_failed_total", "feature_computation_seconds_bucket", "cache_hits_total",
        "ab_variant_assignments_total", "collector_log_lag_records",
    )  # fmt: skip
    missing = [name for name in wanted if name not in text]
    if missing:
        raise _FailedError(f"/metrics does not have {', '.join(missing)}")
    return f"/metrics has the {len(wanted)} measures that rules and panels ask for"


def _dead_letters(client: httpx.Client, _: Settings) -> str:
    answer = client.post("/ingest", json={**_event("view"), "status": "selftest"})
    if answer.status_code == 401:
        raise _NotConfiguredError("write keys are asked for, and none was given to this test")
    if answer.status_code != 422 or answer.json()["reasons"] != ["invalid_status"]:
        raise _FailedError(f"an event with a wrong status is answered by {answer.status_code}: {answer.text[:200]}")
    started = time.perf_counter()
    while time.perf_counter() - started < _KNOWN_WITHIN_S:
        if _get(client, "/live/deadletters", reason="invalid_status"):
            return "an event with a wrong status was refused with its reason, and is kept to be mended"
        time.sleep(0.02)
    raise _FailedError("a refused event is not among the dead letters")


def _event(name: str, user: str = "selftest") -> dict[str, Any]:
    return {"event_id": str(uuid4()), "user_id": user, "event_name": name, "feature": _FEATURE}


_CATEGORIES: dict[str, Callable[[httpx.Client, Settings], str]] = {
    "service health": _service_health,
    "feature processor configuration": _processor_configuration,
    "API health": _api_health,
    "event ingestion": _ingestion,
    "feature computation": _computation,
    "A/B testing": _ab_testing,
    "drift detection": _drift,
    "database verification": _database,
    "cache": _cache,
    "topics": _topics,
    "dead letters": _dead_letters,
    "performance metrics": _measures,
}
