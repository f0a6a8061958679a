"""The use cases that learn from tables, by name. Adding one: a contract, a folder with `use_case.py`, a line here."""

from __future__ import annotations

from quality_assets.domain.models.housing.use_case import HOUSING
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.domain.models.sales.use_case import SALES

TABULAR: dict[str, TabularUseCase] = {use_case.name: use_case for use_case in (SALES, HOUSING)}
