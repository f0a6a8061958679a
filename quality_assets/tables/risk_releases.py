"""Releases of feature_risk in the log that all use cases share: what its registry knew, and what training adds."""

from __future__ import annotations

from quality_assets.clock import utc_now
from quality_assets.contracts.risk_inputs import RISK
from quality_assets.domain.models.learning.release_stack import in_use, utc_naive
from quality_assets.settings import Settings
from quality_assets.tables.champion import registry_of
from quality_assets.tables.learning import release_log

_REASON = "promoted by its training"


def adopt_risk_releases(settings: Settings) -> None:
    """Write the promotions that the registry knows into the log, where it has none of them or has missed the last."""
    registry = registry_of(settings)
    if registry is None:
        return
    log = release_log(settings)
    promotions = registry.promotions()
    log.adopt(RISK, promotions, _REASON)
    champion, current = registry.champion_version(), in_use(log.of(RISK))
    if champion is not None and (current is None or current.version != champion):
        since = [at for version, at in promotions if version == champion]
        # What a clock that was ahead has written down counts from now.
        at = min(utc_naive(since[-1]), utc_now()) if since else None
        log.promote(RISK, champion, actor="training", reason=_REASON, at=at)
