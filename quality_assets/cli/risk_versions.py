"""The commands of the group `model` for feature_risk, whose registry knew releases before there was a log of them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from quality_assets.cli.output import OutputFormat, fail, print_rows
from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.release_stack import NoEarlierReleaseError, Release, counted_from, in_use
from quality_assets.settings import Settings
from quality_assets.stores.releases import release_log
from quality_assets.tables.champion import registry_of
from quality_assets.tables.risk_releases import RISK, adopt_risk_releases

if TYPE_CHECKING:
    from quality_assets.stores.models import ModelRegistry


def _registry(settings: Settings) -> ModelRegistry:
    registry = registry_of(settings)
    if registry is None:
        fail("no model of feature_risk has been trained yet; `quality run` trains one once there is history enough")
    return registry


def risk_version_rows(settings: Settings) -> list[dict[str, Any]]:
    """Every version of the registry, newest last."""
    registry = registry_of(settings)
    if registry is None:
        return []
    rows: list[dict[str, Any]] = []
    frame = registry.versions().astype(object)
    for values in frame.itertuples(index=False):
        row = dict(zip(map(str, frame.columns), values, strict=True))
        plain = {name: value for name, value in row.items() if name not in ("model_version", "alias")}
        stage = {"champion": "prod", "retired": "retired"}.get(str(row["alias"]), "none")
        told = {"version": row["model_version"], "stage": stage, "candidate": row["champion_model"]}
        rows.append(told | {name: _text(value) for name, value in plain.items()})
    return rows


def _text(value: Any) -> Any:
    if value is None or value != value:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def show_risk_version(settings: Settings, version: str | None, output: OutputFormat) -> None:
    """What the registry tells of a version; of the one in use where none is named."""
    rows = risk_version_rows(settings)
    wanted = version or next((row["version"] for row in rows if row["stage"] == "prod"), None)
    found = next((row for row in rows if row["version"] == wanted), None)
    if found is None:
        fail(f"there is no version {wanted or ''} of feature_risk; the registry has: {_known(rows)}")
    if output is OutputFormat.JSON:
        print(json.dumps(found, indent=1))
    else:
        print_rows(["what", "value"], iter([list(found.items())]), output)


def _known(rows: list[dict[str, Any]]) -> str:
    return ", ".join(row["version"] for row in rows) or "none yet"


def promote_risk(settings: Settings, version: str, actor: str, reason: str, at: datetime | None) -> Release | None:
    """Make a version the champion that can be loaded; None where it is."""
    from quality_assets.domain.models.artifact import InputsMismatchError
    from quality_assets.stores.models import ModelUnavailableError

    registry = _registry(settings)
    adopt_risk_releases(settings)
    log = release_log(settings)
    when = counted_from(at, utc_now(), log.of(RISK))
    try:
        registry.load(version)
        registry.promote(version, reason, when)
    except (ModelUnavailableError, InputsMismatchError) as error:
        fail(str(error))
    return log.promote(RISK, version, actor=actor, reason=reason, at=when)


def rollback_risk(settings: Settings, actor: str, reason: str, at: datetime | None) -> Release:
    """Take the last promotion back in registry and log."""
    from quality_assets.stores.models import ModelUnavailableError

    registry = _registry(settings)
    adopt_risk_releases(settings)
    log = release_log(settings)
    if in_use(log.of(RISK)) is None:
        raise NoEarlierReleaseError
    when = counted_from(at, utc_now(), log.of(RISK))
    try:
        registry.rollback(reason, when)
    except ModelUnavailableError:
        raise NoEarlierReleaseError from None
    return log.rollback(RISK, actor=actor, reason=reason, at=when)
