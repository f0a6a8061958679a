"""Files for running it elsewhere: each read by the tool that judges its kind, and held to what the product has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml
from services import missing

from quality_assets.serve.guard import OPEN_PATHS

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
TERRAFORM = sorted((DEPLOY / "terraform").rglob("*.tf"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def _containers() -> list[dict[str, Any]]:
    pods = [
        document["spec"]["template"]["spec"]
        for path in MANIFESTS
        for document in _documents(path)
        if document["kind"] in ("Deployment", "StatefulSet")
    ]
    return [container for pod in pods for container in pod["containers"]]


def _tool(name: str) -> str:
    # Beside the interpreter, whichever of the environments is active.
    return str(Path(sys.executable).with_name(name))


def test_the_image_is_built_as_its_linter_asks() -> None:
    found = subprocess.run([_tool("hadolint"), DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_keep_the_schemas_of_kubernetes(path: Path) -> None:
    command = [_tool("kubernetes-validate"), "--strict", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_container_has_probes_and_bounds_and_no_rights() -> None:
    for container in _containers():
        for probe in ("readinessProbe", "livenessProbe"):
            # The guard answers names that it knows, and a probe asks by the address of the pod.
            assert container[probe]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "localhost"}]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


# The collector and its processors tell their health to anybody; the others stand behind the guard.
_HEALTH = dict.fromkeys(("web", "dagster", "predict"), "/healthz") | dict.fromkeys(("collector", "process"), "/health")


def test_health_is_asked_where_no_token_is_needed() -> None:
    assert OPEN_PATHS == ("/healthz",)
    (compose,) = _documents(DEPLOY / "compose.yaml")
    for name, path in _HEALTH.items():
        assert compose["services"][name]["environment"]["HEALTH_URL"].endswith(path)
    for container in _containers():
        # Not /health: whatever is away, as PostgreSQL, would have those restarted that go on taking events without it.
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_compose_binds_to_this_machine_alone_and_everything_has_a_profile() -> None:
    (compose,) = _documents(DEPLOY / "compose.yaml")
    services = compose["services"]
    assert {profile for service in services.values() for profile in service["profiles"]} == set(services)
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    own = {name: service for name, service in services.items() if "feature-quality" in service["image"]}
    assert set(own) == {"web", "dagster", "collector", "process", "predict"}
    for name, service in services.items():
        # Ours are asked by the image's own health check, at an address that is theirs.
        assert "HEALTH_URL" in service["environment"] if name in own else service["healthcheck"]["test"]


@pytest.mark.parametrize("path", TERRAFORM, ids=lambda path: "-".join(path.relative_to(DEPLOY / "terraform").parts))
def test_terraform_is_well_formed(path: Path) -> None:
    with path.open() as file:
        assert hcl2.load(file)


def test_terraform_is_said_to_be_unvalidated_for_each_service() -> None:
    rows = [row for row in (DEPLOY / "terraform" / "README.md").read_text().splitlines() if row.startswith("| ")]
    assert all(row.endswith("| yes | no | no |") for row in rows[1:])
    kinds = set(re.findall(r'^resource "(\w+)"', "".join(path.read_text() for path in TERRAFORM), re.MULTILINE))
    named = "vpc eks_cluster msk_cluster db_instance elasticache_replication_group lb cloudwatch_metric_alarm iam_role"
    assert {f"aws_{name}" for name in [*named.split(), "s3_bucket", "dynamodb_table"]} <= kinds


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_say_what_they_may_do_and_how_long(path: Path) -> None:
    (workflow,) = _documents(path)
    assert workflow["permissions"]["contents"] in ("read", "write")
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())


def test_alert_rules_pass_their_tests() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool (apt-get install prometheus)")
    assert promtool is not None
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]):
        found = subprocess.run(
            [promtool, *command], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stdout + found.stderr


def test_every_alert_is_tested() -> None:
    (rules,) = _documents(DEPLOY / "prometheus" / "rules.yaml")
    (tests,) = _documents(DEPLOY / "prometheus" / "rules_test.yaml")
    named = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    fired = {case["alertname"] for test in tests["tests"] for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert named == fired


def test_every_panel_of_the_dashboard_asks_something() -> None:
    board = json.loads((DEPLOY / "grafana" / "live.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(asked) == len(set(asked)) >= len(board["panels"]) == 12


def _image_check() -> Any:
    found = spec_from_file_location("image_check", DEPLOY / "image_check.py")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    # A dataclass looks its module up.
    sys.modules["image_check"] = module
    found.loader.exec_module(module)
    return module


def test_the_image_is_asked_as_the_compose_file_starts_it_on_other_ports() -> None:
    checking = _image_check()
    (compose,) = _documents(DEPLOY / "compose.yaml")
    for name in checking.OWN_SERVICES:
        service = checking.service_of(compose, name, 4711, {"QUALITY_TOKEN": "of sixteen characters"})
        assert ":4711/" in service.environment["HEALTH_URL"]
        assert service.environment["QUALITY_TOKEN"] == "of sixteen characters"
        assert not [value for value in (*service.environment.values(), *service.command) if "${" in value]
        told = (service.environment.get(checking.PORT_SETTINGS.get(name, "")), *service.command)
        assert "4711" in told, "it listens there"
        assert name in checking.CHECKS


def test_values_of_a_compose_file_are_filled_in() -> None:
    substituted = _image_check().substituted
    given = {"GIVEN": "here", "EMPTY": ""}
    assert substituted("${GIVEN}-${GIVEN:?must be}-${GIVEN:-usual}", given) == "here-here-here"
    assert substituted("${NOT:-usual},${EMPTY:-usual},${NOT},${NOT:-}", given) == "usual,usual,,"
