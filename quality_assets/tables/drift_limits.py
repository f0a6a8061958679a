"""When drift of a model is told: the limits that people have set for it, kept with the settings of the house."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quality_assets.contracts.risk_inputs import RISK
from quality_assets.domain.drift.settings import DEFAULT_DRIFT_SETTINGS
from quality_assets.domain.models.learning.drift_replay import alternatives, replayed
from quality_assets.domain.models.learning.served_drift import DriftLimits
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.tables.drift_reports import read_report
from quality_assets.tables.faults import unless_unreachable
from quality_assets.tables.house_settings import LIMITS_OF_DRIFT, change, value_of

KEY = "models.drift"
LIMITS = tuple(LIMITS_OF_DRIFT)
"""What can be set of a model."""
# Each kind of thing that the daily monitor watches has a least distance of its own, beyond which limits go.
USUAL = {
    RISK: DriftLimits(
        false_share=DEFAULT_DRIFT_SETTINGS.false_discovery_rate, least_distance=DEFAULT_DRIFT_SETTINGS.least_distance
    )
}
"""The limits of models that have others than most, as long as nobody sets any."""


def limits_of(settings: Settings, model: str) -> DriftLimits:
    """The limits of a model; the usual ones where nobody has set any."""
    with operations_of(settings).read() as connection:
        told = value_of(connection, KEY)
    own = {name: float(told[f"{model}.{name}"]) for name in LIMITS if f"{model}.{name}" in told}
    return changed(USUAL.get(model, DriftLimits()), own)


def limits_to_look_by(settings: Settings, model: str) -> DriftLimits:
    """The limits of a model; the usual ones while the operations store does not answer, for drift to be looked at."""
    return unless_unreachable(limits_of)(settings, model) or USUAL.get(model, DriftLimits())


def changed(limits: DriftLimits, given: Mapping[str, float | None]) -> DriftLimits:
    """Limits with those that are given; None leaves one as it is."""
    false_share, least_distance = (given.get(name) for name in ("false_share", "least_distance"))
    return replace(
        limits,
        false_share=limits.false_share if false_share is None else false_share,
        least_distance=limits.least_distance if least_distance is None else least_distance,
    )


def set_limits(settings: Settings, model: str, given: dict[str, float | None], actor: str) -> DriftLimits:
    """Set some limits of a model; None leaves one as it is. Raises SettingError where a value lies outside."""
    new = {f"{model}.{name}": f"{value:g}" for name, value in given.items() if value is not None}
    if new:
        with operations_of(settings).write() as connection:
            change(connection, KEY, {**value_of(connection, KEY), **new}, actor)
    return limits_of(settings, model)


def shown(limits: DriftLimits) -> dict[str, Any]:
    """The limits that can be set."""
    return {name: getattr(limits, name) for name in LIMITS}


def tried(settings: Settings, model: str) -> dict[str, Any]:
    """The limits of a model, and what they and others would have told by the looks of the last 30 days."""
    limits, report = limits_of(settings, model), read_report(settings, model) or {}
    days = report.get("days", [])
    replay = alternatives(days, limits)
    first = replay[0]
    words = (
        f"Drift of {model} is told where a distance is {limits.least_distance:g} or more and beyond chance; of what is"
        f" told {limits.false_share:.3g} may be false"
    )
    if days:
        words += f": in the last 30 days on {first['days_told']} of {first['days_looked']} days that were looked at."
    else:
        words += ". No look of the last 30 days is known: too little was asked, or nobody has looked."
    return {
        "model": model, **shown(limits), "looked_at": report.get("checked_at"), "words": words, "replay": replay,
        "days": replayed(days, limits),
    }  # fmt: skip
