"""The use cases that learn from tables with what learns in no time: for tests of what is done with models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from quality_assets.domain.models.housing.use_case import HOUSING
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.domain.models.sales.use_case import SALES
from quality_assets.progress import no_progress
from quality_assets.simulate.tables import sales_rows
from quality_assets.stores.operations.store import close_operations
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables import learning
from tests.conftest import new_settings


def light(use_case: TabularUseCase) -> TabularUseCase:
    """Without trees, unless nothing else is there, and with few rounds; the same contract, tables and splits."""
    views = tuple(
        replace(view, candidates=tuple(c for c in view.candidates if c.learner is None or c.learner == "linear"))
        for view in use_case.views
    )
    return replace(use_case, views=views, settings=replace(use_case.settings, bootstrap_rounds=100))


LIGHT_SALES, LIGHT_HOUSING = light(SALES), light(HOUSING)


def root_with_two_versions_of_sales(data_dir: Path) -> None:
    """Make a data root with two versions of sales, the first in use."""
    settings = new_settings(data_dir)
    with open_warehouse(settings) as session:
        learning.write_training_set(session, LIGHT_SALES, sales_rows(120))
        for _ in range(2):
            learning.train_version(session, LIGHT_SALES, "baseline", no_progress, release=True)
    close_operations()
