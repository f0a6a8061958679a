"""The asset graph: everything under `defs/`, with owners, freshness and code references said once for all."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from pkgutil import walk_packages
from types import ModuleType
from typing import Any

import dagster as dg

import quality_assets.defs
from quality_assets.defs import resources

OWNERS: Mapping[str, str] = {
    "raw": "team:data-platform",
    "core": "team:data-platform",
    "product": "team:product-analytics",
    "impact": "team:product-analytics",
    "ml": "team:ml-platform",
    "monitoring": "team:ml-platform",
    "publish": "team:data-platform",
    "datasets": "team:data-platform",
}

# Everything is expected to be rebuilt daily: the morning's schedule does so even when nothing arrives.
FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=26))


def with_policies(spec: dg.AssetSpec) -> dg.AssetSpec:
    """An asset's spec with the owner of its group, and freshness where it is not built by date."""
    spec = spec.replace_attributes(owners=[OWNERS[spec.group_name or ""]])
    return spec if spec.partitions_def else spec.replace_attributes(freshness_policy=FRESHNESS)


@dg.definitions
@lru_cache(maxsize=1)
def defs() -> dg.Definitions:
    """What Dagster loads."""
    loaded = _under_defs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        mapped = loaded.map_asset_specs(func=with_policies)
    return dg.Definitions(
        assets=with_code_references(mapped.assets or []),
        asset_checks=mapped.asset_checks,
        jobs=mapped.jobs,
        schedules=mapped.schedules,
        sensors=mapped.sensors,
        resources=mapped.resources,
        executor=dg.in_process_executor,
    )


def _under_defs() -> dg.Definitions:
    """What the modules under `defs/` define.

    Dagster's own loader of such a folder looks for components of installed packages too, and writes out a schema of
    each: a quarter of what the graph costs, in every process.
    """
    with warnings.catch_warnings():
        # Dagster says of each table that its partition mappings are beta, and of the loader that it is a preview.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        modules = list(_modules())
        lazy = type(resources.resources)
        functions = {id(found): found for each in modules for found in vars(each).values() if isinstance(found, lazy)}
        plain = dg.load_definitions_from_modules(modules)
        return dg.Definitions.merge(plain, *(function() for function in functions.values()))


def _modules() -> Iterator[ModuleType]:
    package = quality_assets.defs
    for found in walk_packages(package.__path__, f"{package.__name__}."):
        yield import_module(found.name)


def with_code_references(assets: Iterable[Any]) -> list[Any]:
    """The assets, each with a link to the lines that define it."""
    with warnings.catch_warnings():
        # Dagster calls its own value classes beta once for every asset.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return list(dg.with_source_code_references(list(assets)))
