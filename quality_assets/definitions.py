"""The asset graph: everything under `defs/`, with owners, freshness and code references said once for all."""

import warnings
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Any

import dagster as dg

import quality_assets.defs
from quality_assets.catching_up import bring_up_to_date_job
from quality_assets.contracts.owners import OWNERS
from quality_assets.dagster_ext.loading import definitions_under

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        mapped = definitions_under(quality_assets.defs).map_asset_specs(func=with_policies)
    return dg.Definitions(
        assets=with_code_references(mapped.assets or []),
        asset_checks=mapped.asset_checks,
        jobs=[*(mapped.jobs or []), bring_up_to_date_job],
        schedules=mapped.schedules,
        sensors=mapped.sensors,
        resources=mapped.resources,
        executor=dg.in_process_executor,
    )


def with_code_references(assets: Iterable[Any]) -> list[Any]:
    """The assets, each with a link to the lines that define it."""
    with warnings.catch_warnings():
        # Dagster calls its own value classes beta once for every asset.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return list(dg.with_source_code_references(list(assets)))
