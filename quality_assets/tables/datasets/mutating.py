"""Do the checks of a dataset catch anything? Faults of known truth, planted in its last batch, and asked for again.

Nothing is kept: the batch is mutated in memory, as it was kept for the rules to learn from, and no alert is raised.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from quality_assets.contracts.sources.datasets import cadence_hours
from quality_assets.domain.quality.datasets import examine
from quality_assets.domain.quality.datasets.profile import Profile, learnt_from
from quality_assets.domain.quality.datasets.table_findings import DIMENSION_OF
from quality_assets.domain.quality.datasets.table_score import LEAST_PAST_TO_ALERT, Verdict
from quality_assets.domain.quality.datasets.values import Block, block_of
from quality_assets.settings import Settings
from quality_assets.simulate.table_faults import CELL_FAULTS, SCHEMA_FAULTS, Planted
from quality_assets.stores.datasets.keeping import Keeper
from quality_assets.stores.operations.store import Operations
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.tables.datasets.batches import checked_batches
from quality_assets.tables.datasets.muting import quiet
from quality_assets.tables.datasets.registering import Registered

SHARES = (0.01, 0.05)
_MOST_CLEAN = 5
_SUGGESTED = {
    "outlier": "declare the range of {columns} in the dataset's contract",
    "typo": "declare the values that {columns} may take",
    "dependency": "declare which column decides {columns}",
    "missing": "set the threshold missing_share, as {columns} was missing before",
    "type": "declare the type of {columns}",
    "duplicate": "declare the key of the dataset: quality dataset add … --key",
    "schema": "pin the columns of the dataset",
    "rename": "pin the columns of the dataset",
}


@dataclass(frozen=True)
class Mutant:
    """One planted fault. `is_killed` says that an alert named it; `suggestion` what would have, None where it was."""

    fault: str
    dimension: str
    columns: tuple[str, ...]
    share: float
    count: int
    is_killed: bool
    score: float | None
    suggestion: str | None
    told_by: str | None = None
    """The first check that told of it, where one by name does."""


@dataclass(frozen=True)
class MutationReport:
    """The mutants of one dataset's last batch, and how many of its last batches that raised no alert raise one now."""

    dataset: str
    batch: str
    mutants: tuple[Mutant, ...]
    clean_batches: int
    false_alarms: int

    @property
    def by_dimension(self) -> dict[str, tuple[int, int]]:
        """Killed and planted, by dimension."""
        found: dict[str, tuple[int, int]] = {}
        for mutant in self.mutants:
            killed, planted = found.get(mutant.dimension, (0, 0))
            found[mutant.dimension] = (killed + mutant.is_killed, planted + 1)
        return found

    def as_dict(self) -> dict[str, Any]:
        """As scripts are given it. `kill_rate` is None where no fault could be planted."""
        killed = sum(mutant.is_killed for mutant in self.mutants)
        return {
            "dataset": self.dataset,
            "batch": self.batch,
            "planted": len(self.mutants),
            "killed": killed,
            "kill_rate": killed / len(self.mutants) if self.mutants else None,
            "dimensions": {
                d: {"killed": k, "planted": n, "kill_rate": k / n} for d, (k, n) in self.by_dimension.items()
            },
            "clean_batches": self.clean_batches,
            "false_alarms": self.false_alarms,
            "survivors": [asdict(mutant) for mutant in self.mutants if not mutant.is_killed],
        }


def mutate(store: Operations, settings: Settings, dataset: Registered) -> MutationReport:
    """The report on the last batch of a dataset that raised no alert.

    Raises FileRejected where too few batches were judged for anything to alert.
    """
    keeper = Keeper(settings.data_dir / "datasets" / dataset.dataset_id)
    every = [p for b in checked_batches(store, dataset.dataset_id) if (p := keeper.profile(b)) is not None and p.rows]
    normal = learnt_from(every)
    if len(normal) <= LEAST_PAST_TO_ALERT:
        raise FileRejected(
            f"{dataset.dataset_id} has {len(normal)} batches to learn from; {LEAST_PAST_TO_ALERT + 1} are the least."
            f" `quality check {dataset.dataset_id}` judges more"
        )
    blocks = [keeper.rows(profile) for profile in normal]
    source = dataset.source
    cadence = cadence_hours(source.cadence) if source.cadence else None
    with store.read() as connection:
        muted = quiet(connection, dataset.dataset_id)
        asked = examine.Asked(source.key, source.time, cadence, *muted, source.keep_examples)
    past = _past_of(normal, blocks, len(normal) - 1)
    table = _table_of(blocks[-1])
    mutants = tuple(
        _mutant(planted, share, _judged(planted.table, past, asked)) for planted, share in _planted(table, normal[-1])
    )
    first = max(LEAST_PAST_TO_ALERT, len(normal) - _MOST_CLEAN)
    alarms = [
        bool(_judged(_table_of(blocks[i]), _past_of(normal, blocks, i), asked).alerts)
        for i in range(first, len(normal))
    ]
    return MutationReport(dataset.dataset_id, normal[-1].batch, mutants, len(alarms), sum(alarms))


def _past_of(profiles: list[Profile], blocks: list[Block], index: int) -> examine.Past:
    # Of batches cut down to the rows that were kept, the number of rows is that of what was kept.
    return examine.Past(profiles[:index], blocks[:index], [])


def _planted(table: pd.DataFrame, profile: Profile) -> Iterator[tuple[Planted, float]]:
    """Each fault of the catalogue at each share, the same ones each time a batch is asked."""
    generator = np.random.default_rng(zlib.crc32(profile.batch.encode()))
    for fault in CELL_FAULTS.values():
        for share in SHARES:
            planted = fault(table, share, generator)
            if planted is not None and planted.count:
                yield planted, share
    for fault in SCHEMA_FAULTS.values():
        planted = fault(table, 1.0, generator)
        if planted is not None:
            yield planted, 1.0


def _mutant(planted: Planted, share: float, verdict: Verdict) -> Mutant:
    touched = set(planted.columns)
    is_killed = any(touched & set(f.columns) if touched else f.kind == planted.kind for f in verdict.alerts)
    columns = ", ".join(planted.columns)
    return Mutant(
        planted.kind, DIMENSION_OF[planted.kind], planted.columns, share, planted.count, is_killed, verdict.score,
        None if is_killed else _SUGGESTED[planted.kind].format(columns=columns),
    )  # fmt: skip


def _table_of(block: Block) -> pd.DataFrame:
    columns = {}
    for name, cells in block.columns.items():
        values = np.array([*cells.uniques, None], object)
        columns[name] = values[np.where(cells.codes >= 0, cells.codes, len(cells.uniques))]
    return pd.DataFrame(columns, dtype=object)


def _judged(table: pd.DataFrame, past: examine.Past, asked: examine.Asked) -> Verdict:
    """A verdict on a table of texts. Its volume and time are as they were: faults of cells are what is asked of."""
    names = list(map(str, table.columns))
    arrays = {name: pa.array(table[name].tolist(), pa.string()) for name in names}
    block = block_of(pa.table(arrays), past.forms)
    made = examine.plan(block, past, asked)
    tally = examine.count([block], made)
    repeats = {key: int(table.duplicated(list(key)).sum()) for key in examine.keys_to_count(block, past, asked)}
    rows = examine.Rows(len(table), tuple(names), int(table.duplicated().sum()), repeats)
    found = examine.verdict(rows, block, tally, made, past, asked)
    beside = ("volume", "freshness")
    return Verdict(found.score, found.dimensions, tuple(f for f in found.findings if f.kind not in beside))
