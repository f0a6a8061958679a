"""What is told of the models that are served: versions, releases, how well they do, and what the last look found."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.release_stack import Release, in_use, live_at
from quality_assets.settings import Settings
from quality_assets.stores.released import VersionUnavailableError, manifest, manifests, registry_folder_of
from quality_assets.stores.releases import release_log

NAMES = tuple(TABULAR)
_FIGURES = ("r2", "rmse", "mae", "coverage")


def card(settings: Settings, name: str) -> dict[str, Any]:
    """One model: which version is in use and since when, how well it does on held-out rows, whether it has drifted."""
    use_case = TABULAR[name]
    releases = release_log(settings).of(name)
    current = in_use(releases)
    known = manifests(settings.models_dir, name)
    told = next((each for each in known if current is not None and each["version"] == current.version), None)
    version = current.version if current is not None else None
    return {
        "name": name,
        "predicts": use_case.contract.target.name,
        "of": use_case.contract.title,
        "unit": use_case.contract.target.unit,
        "versions": len(known),
        "version": version,
        "release_seq": current.seq if current is not None else None,
        "since": instant(current.at) if current is not None else None,
        "candidate": next(iter(told["chosen"].values()))["candidate"] if told else None,
        "split": told["headline_split"] if told else None,
        "figures": {each: told["headline"].get(each) for each in _FIGURES} if told else {},
        **last_look(drift_report(settings, name), version),
    }


def last_look(report: dict[str, Any] | None, version: str | None) -> dict[str, Any]:
    """What the last look for drift says of a version: nothing, where it was at another one."""
    if report is None:
        return {"drift": "unknown", "drift_words": None, "coverage_last_30d": None}
    if not is_of(report, version):
        words = f"version {version} has not been looked at yet; the last look was at version {report['version']}"
        return {"drift": "unknown", "drift_words": words if version else None, "coverage_last_30d": None}
    coverage = report.get("performance", {}).get("coverage")
    return {"drift": report["status"], "drift_words": report["words"], "coverage_last_30d": coverage}


def is_of(report: dict[str, Any], version: str | None) -> bool:
    """Whether a look for drift was at this version; one that does not say at which is taken to have been."""
    return bool(report.get("version", version) == version)


def cards(settings: Settings) -> list[dict[str, Any]]:
    """All of them."""
    return [card(settings, name) for name in NAMES]


def told_of(settings: Settings, name: str) -> dict[str, Any]:
    """All that is told of one model: its card, versions, releases, inputs, and what was live since when."""
    releases = release_log(settings).of(name)
    own = card(settings, name)
    versions = [_version(each, own["version"]) for each in manifests(settings.models_dir, name)]
    shown = own["version"] or (versions[-1]["version"] if versions else None)
    account = None
    if shown is not None:
        try:
            account = manifest(settings.models_dir, name, shown)
        except VersionUnavailableError:
            account = None
    contract = TABULAR[name].contract
    inputs = [
        {
            "name": each.name, "type": each.type, "unit": each.unit, "description": each.description,
            "known_at": each.known_at, "minimum": each.minimum, "maximum": each.maximum,
            "allowed": list(each.allowed) if each.allowed else None, "nullable": each.nullable,
            "is_used": bool(account and each.name in account["inputs"]),
        }
        for each in contract.inputs
    ]  # fmt: skip
    return {
        **own, "contract": contract.fingerprint, "inputs": inputs, "versions": versions,
        "releases": [release_row(each) for each in releases], "account": account,
    }  # fmt: skip


def _version(told: dict[str, Any], current: str | None) -> dict[str, Any]:
    figures = {each: told["headline"].get(each) for each in _FIGURES}
    return {
        "version": told["version"], "created_at": told["created_at"], "rows": told["rows"],
        "candidate": next(iter(told["chosen"].values()))["candidate"], "split": told["headline_split"], **figures,
        "wins": told["wins"], "decision": told["decision"], "is_in_use": told["version"] == current,
    }  # fmt: skip


def release_row(release: Release) -> dict[str, Any]:
    """A release as it is told."""
    return {
        "seq": release.seq, "version": release.version, "action": release.action, "stage": release.stage,
        "actor": release.actor, "reason": release.reason, "at": instant(release.at),
        "replaces_seq": release.replaces_seq,
    }  # fmt: skip


def live(settings: Settings, name: str, when: datetime) -> dict[str, Any]:
    """Which version was in use at a time, since when and until when."""
    found = live_at(release_log(settings).of(name), when)
    return {"version": found.version, "since": instant(found.since), "until": instant(found.until)}


def instant(when: datetime | None) -> str | None:
    """UTC, said to be."""
    return None if when is None else f"{when.isoformat()}Z"


def drift_report(settings: Settings, name: str) -> dict[str, Any] | None:
    """The last report on drift; None where there is none that can be read."""
    return _read(settings.reports_dir / "drift" / f"{name}.json", "performance")


def _read(path: Path, needed: str) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and needed in found else None


def evidence(settings: Settings, name: str, version: str, what: str) -> list[dict[str, Any]]:
    """Rows of a version's evidence, metrics, leaks or performance, as they were kept with it; empty without it."""
    import math

    import pyarrow.parquet as pq

    try:
        told = manifest(settings.models_dir, name, version)
        path = (registry_folder_of(settings.models_dir, name) / told["file"]).parent / f"{what}.parquet"
        rows = pq.read_table(path).to_pylist()
    except (OSError, VersionUnavailableError):
        return []
    return [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()} for row in rows]
