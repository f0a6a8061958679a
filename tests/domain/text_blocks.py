"""Batches of tables for tests of datasets, made of columns of values as a file would have them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from quality_assets.domain.quality.datasets.cell_tests import CellTest
from quality_assets.domain.quality.datasets.detectors import column_detectors
from quality_assets.domain.quality.datasets.values import Block, block_of


def text_block(**columns: Sequence[object]) -> Block:
    """A batch whose cells are the texts of these values; None is an empty one."""
    texts = {n: pa.array([None if v is None else str(v) for v in values], pa.string()) for n, values in columns.items()}
    return block_of(pa.table(texts))


def suggested(values: Sequence[object]) -> dict[str, tuple[CellTest, list[int]]]:
    """By detector of a column `c`: the test that it suggests, and the rows that break it."""
    made = text_block(c=values)
    tests = {test.detector: test for test in column_detectors("c", made.columns["c"])}
    return {name: (test, np.flatnonzero(test.broken(made)).tolist()) for name, test in tests.items()}
