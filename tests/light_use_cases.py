"""The use cases that learn from tables with what learns in no time: for tests of what is done with models."""

from __future__ import annotations

from dataclasses import replace

from quality_assets.domain.models.housing.use_case import HOUSING
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.domain.models.sales.use_case import SALES


def light(use_case: TabularUseCase) -> TabularUseCase:
    """Without trees, unless nothing else is there, and with few rounds; the same contract, tables and splits."""
    views = tuple(
        replace(view, candidates=tuple(c for c in view.candidates if c.learner is None or c.learner == "linear"))
        for view in use_case.views
    )
    return replace(use_case, views=views, settings=replace(use_case.settings, bootstrap_rounds=100))


LIGHT_SALES, LIGHT_HOUSING = light(SALES), light(HOUSING)
