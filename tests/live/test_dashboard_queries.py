"""Every query of the dashboard and of the alert rules, asked of a real Prometheus that scrapes a real collector."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from running_collector import Collector, free_port, wait_for
from services import missing

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PANELS = [
    (panel["title"], target["expr"])
    for panel in json.loads((DEPLOY / "grafana" / "live.json").read_text())["panels"]
    for target in panel["targets"]
]
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
# What nothing has happened of yet has no series, and a share of nothing is no number.
_MAY_BE_EMPTY = {"cache_hits_total"}


@pytest.fixture(scope="module")
def prometheus(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Prometheus with our own rules, which has scraped the collector before and after some events."""
    program = shutil.which("prometheus")
    if program is None:
        missing("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    targets = {"collector": collector.port, "predict": free_port()}
    written = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    # As it is shipped, but for addresses and pace.
    written["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    written["rule_files"] = [str(DEPLOY / "prometheus" / "rules.yaml")]
    for job in written["scrape_configs"]:
        del job["authorization"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(written))
    port = free_port()
    command = [
        str(program), f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            wait_for(lambda: _is_ready(client))
            _use(collector)
            wait_for(lambda: _value(client, "sum(count_over_time(events_processed_total[10m]))") >= 2)
            _use(collector)
            wait_for(lambda: _value(client, "sum(increase(events_processed_total[5m]))") > 0)
            wait_for(lambda: _value(client, "sum(rate(ab_variant_assignments_total[5m]))") > 0)
            wait_for(lambda: _value(client, "sum(rate(events_failed_total[5m]))") > 0)
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def _use(collector: Collector) -> None:
    seed = len(list(collector.root.iterdir())) + collector.client.get("/live/today").json()["events"]
    for n in range(10):
        event = {"event_id": f"{seed}-{n}", "user_id": f"user-{n}", "event_type": "purchase"}
        for _ in range(2):
            assert collector.client.post("/ingest", json=event).status_code == 200
        collector.client.post("/ingest", json={**event, "status": "none such"})
        assert collector.client.get(f"/features/user-{n}").status_code == 200
    collector.processed()


def _ask(client: httpx.Client, query: str) -> list[Any]:
    answer = client.get("/api/v1/query", params={"query": query})
    found = answer.json()
    assert found["status"] == "success", f"{query}: {found}"
    return list(found["data"]["result"])


def _value(client: httpx.Client, query: str) -> float:
    found = _ask(client, query)
    return float(found[0]["value"][1]) if found else 0.0


def test_every_query_of_the_dashboard_is_answered_by_what_the_collector_tells(prometheus: httpx.Client) -> None:
    unanswered = [
        (title, query)
        for title, query in PANELS
        if not _ask(prometheus, query) and not any(name in query for name in _MAY_BE_EMPTY)
    ]
    assert unanswered == []


def test_what_panels_and_rules_ask_for_is_told_by_the_collector(prometheus: httpx.Client, collector: Collector) -> None:
    told = set(prometheus.get("/api/v1/label/__name__/values").json()["data"])
    for _, query in PANELS:
        asked = _metrics_of(prometheus, query)
        assert asked <= told, query
    for rule in RULES:
        assert _metrics_of(prometheus, rule["expr"]) <= told, rule["alert"]
    # 20 events twice each, none of which failed in the processor.
    assert _value(prometheus, "events_processed_total") == 20
    assert _value(prometheus, "events_duplicate_total") == 20
    assert _value(prometheus, 'events_failed_total{reason="invalid_status"}') == 20
    assert _value(prometheus, "drift_alerts_open") == 0
    assert _value(prometheus, "sum(ab_variant_assignments_total)") == 20


def _metrics_of(client: httpx.Client, query: str) -> set[str]:
    """The metrics that a query names, by Prometheus' own reading of it."""
    tree = client.get("/api/v1/format_query", params={"query": query}).json()
    assert tree["status"] == "success", query
    words = set(re.findall(r"[a-z_:][a-z0-9_:]*(?=\s*[\[{)]|\s*$|\s+[=<>*/+-]|\s+offset)", tree["data"]))
    return {word for word in words if word.endswith(_ENDINGS) or word == "up"}


_ENDINGS = ("_total", "_bucket", "_seconds", "_bytes", "_items", "_records", "_open")


def test_rules_are_evaluated_and_only_what_is_down_is_told(prometheus: httpx.Client) -> None:
    for rule in RULES:
        assert _ask(prometheus, rule["expr"]) == [] or rule["alert"] in {"PredictDown", "CollectorDiskLow"}
    wait_for(lambda: all(rule["health"] != "unknown" for rule in _rules(prometheus)))
    found = {rule["name"]: rule for rule in _rules(prometheus)}
    assert set(found) == {rule["alert"] for rule in RULES}
    assert {rule["health"] for rule in found.values()} == {"ok"}
    assert found["PredictDown"]["state"] == "pending"
    assert found["CollectorDown"]["state"] == "inactive"


def _rules(client: httpx.Client) -> list[Any]:
    groups = client.get("/api/v1/rules").json()["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]
