"""What the doctor says of the processes: servers and their ports, the collector, released models, the compose file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from quality_assets.cli.finding import Finding
from quality_assets.cli.store_faults import operations_revision
from quality_assets.serve.ports import port_is_free
from quality_assets.serve.processes import collector_runs, is_served, remembered_servers
from quality_assets.settings import REPOSITORY_ROOT, Settings
from quality_assets.stores.process_ids import pid_of
from quality_assets.stores.root_copies import LET_IT_TELL, original_of

COMPOSE_FILE = REPOSITORY_ROOT / "deploy" / "compose.yaml"
MIN_TOKEN_LENGTH = 16
_VARIABLE = re.compile(r"\$\{(\w+)")


def examine_services(settings: Settings) -> Iterator[Finding]:
    """Look at the servers of a root and their ports, the collector's files, the models that are served, compose."""
    servers = remembered_servers(settings)
    yield _servers(settings, servers)
    for what, name, host, port, setting in (
        ("Dagster UI", "dagster", settings.dagster_host, settings.dagster_port, "QUALITY_DAGSTER_PORT"),
        ("Dashboard", "dashboard", settings.host, settings.dashboard_port, "QUALITY_DASHBOARD_PORT"),
        ("Collector", "collector", settings.collector_host, settings.collector_port, "QUALITY_COLLECTOR_PORT"),
        ("models", "models", settings.host, settings.predict_port, "QUALITY_PREDICT_PORT"),
    ):
        yield _port(what, host, port, setting, servers.get(name))
    yield _messages(settings)
    yield _collector(settings)
    yield _models(settings)
    yield compose_finding(COMPOSE_FILE, settings)


def _servers(settings: Settings, servers: Mapping[str, str]) -> Finding:
    named = ", ".join(f"{what} {pid_of(name)}" for what, name in servers.items())
    if servers and not is_served(settings):
        return Finding(
            "Servers",
            False,
            f"left behind by a `quality serve` that was killed: {named}",
            "`quality serve --take-over` ends them and starts anew",
        )
    return Finding("Servers", True, f"running: {named}" if servers else "none of this root runs")


def _messages(settings: Settings) -> Finding:
    """Whether people are told from this root: of two that are alike only the first does."""
    original = original_of(settings)
    return Finding(
        "Messages",
        original is None,
        f"nobody is told from here: this is a copy of {original}, which tells" if original else "told from this root",
        LET_IT_TELL,
    )


def _port(what: str, host: str, port: int, setting: str, own: str | None) -> Finding:
    subject = f"Port of {what}"
    if own is not None:
        return Finding(subject, True, f"{host}:{port} is our own, process {pid_of(own)}")
    free = port_is_free(host, port)
    detail = f"{host}:{port} is {'free' if free else 'taken'}"
    return Finding(subject, free, detail, f"stop what listens there (it may be ours), or set {setting} to another port")


def _collector(settings: Settings) -> Finding:
    """Whether the collector could start: its keys, and the online features. Its databases are looked at as stores."""
    from quality_assets.domain.live.feature_set import FeatureFileError, load_features
    from quality_assets.serve.collector.access import Access, KeyFileError, load_keys
    from quality_assets.serve.guard import UnguardedError

    subject = "Collector's files"
    try:
        features = load_features(settings.features_path)
        keys = load_keys(settings.collector_keys_path)
        Access(settings)
    except UnguardedError as error:
        return Finding(subject, False, str(error), "docs/collector.md says how to write keys")
    except (FeatureFileError, KeyFileError, OSError) as error:
        return Finding(subject, False, str(error), "mend that file; the collector does not start before")
    names = {each.name for version in features.versions for each in features.view(version)}
    running = "it runs" if collector_runs(settings) else "it does not run"
    senders = f"{len(keys)} write keys" if keys else "no write keys, open to this machine"
    return Finding(subject, True, f"{len(names)} online features; {senders}; {running}")


def _models(settings: Settings) -> Finding:
    """Whether the versions that are released can be served: each file is there, and is the one that was saved."""
    from quality_assets.domain.models.learning.known_use_cases import TABULAR
    from quality_assets.domain.models.learning.release_stack import in_use
    from quality_assets.stores.released import VersionUnavailableError, manifest, registry_folder_of
    from quality_assets.stores.releases import release_log

    if not operations_revision(settings).is_current:
        return Finding("Served models", True, "none is released")
    log, served, wrong = release_log(settings), [], []
    for name in TABULAR:
        release = in_use(log.of(name))
        if release is None:
            continue
        served.append(f"{name} {release.version}")
        try:
            told = manifest(settings.models_dir, name, release.version)
            content = (registry_folder_of(settings.models_dir, name) / str(told["file"])).read_bytes()
            if hashlib.sha256(content).hexdigest() != told["sha256"]:
                wrong.append((name, f"the file of version {release.version} of {name} is not the one that was saved"))
        except VersionUnavailableError as error:
            wrong.append((name, str(error)))
        except (OSError, LookupError) as error:
            wrong.append((name, f"the file of version {release.version} of {name} is gone ({type(error).__name__})"))
    if wrong:
        name = wrong[0][0]
        return Finding(
            "Served models",
            False,
            "; ".join(sentence for _, sentence in wrong),
            f"`quality train {name} --promote`, or give the version before back: `quality model rollback {name}`",
        )
    return Finding("Served models", True, ", ".join(served) or "none is released")


def compose_finding(path: Path, settings: Settings) -> Finding:
    """Whether the compose file can be read, its settings are known ones, and what it asks for is there."""
    subject, mend = "Compose file", f"mend {path}, or put back the one that was shipped"
    if not path.is_file():
        return Finding(subject, True, "not part of this installation")
    try:
        text = path.read_text(encoding="utf-8")
        services = yaml.safe_load(text)["services"]
        own = {name: each["environment"] for name, each in services.items() if "environment" in each}
        told = {key for environment in own.values() for key in environment if str(key).startswith("QUALITY_")}
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        return Finding(subject, False, f"{path} cannot be read: {' '.join(str(error).split())}", mend)
    unknown = sorted(told - known_settings())
    if unknown:
        return Finding(subject, False, f"{path} sets {', '.join(unknown)}, which nothing reads", mend)
    return Finding(subject, True, f"{len(services)} services; {_asked_for(text, path.parent, settings)}")


def known_settings() -> set[str]:
    """The names of all settings, as the environment has them."""
    return {f"QUALITY_{name.upper()}" for name in Settings.model_fields}


def _asked_for(text: str, folder: Path, settings: Settings) -> str:
    lacks = []
    if "QUALITY_TOKEN" in _VARIABLE.findall(text) and settings.token is None:
        lacks.append(f"QUALITY_TOKEN ({MIN_TOKEN_LENGTH} or more characters), without which nothing starts")
    mounted: list[Any] = re.findall(r"^\s*- \./(\S+?):", text, re.MULTILINE)
    lacks += [f"{folder / each}, which a profile mounts" for each in mounted if not (folder / each).exists()]
    return f"to start it, it lacks {'; and '.join(lacks)}" if lacks else "all that it asks for is there"
