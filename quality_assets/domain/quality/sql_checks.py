"""All checks that are queries, in one place. Declares none itself."""

from __future__ import annotations

from quality_assets.domain.quality.contract_checks import CONTRACT_CHECKS
from quality_assets.domain.quality.event_checks import EVENT_CHECKS
from quality_assets.domain.quality.impact_checks import IMPACT_CHECKS
from quality_assets.domain.quality.model_checks import MODEL_CHECKS

SQL_CHECKS = (*CONTRACT_CHECKS, *EVENT_CHECKS, *IMPACT_CHECKS, *MODEL_CHECKS)
