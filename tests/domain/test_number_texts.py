"""Texts as numbers: what pandas ends the process of is none of them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.number_texts import numbers_of_texts
from quality_assets.domain.quality.datasets.values import cells_of


@pytest.mark.parametrize(
    "name", ["12e45678901234567890", "-1E0560789503141859", "5e-12345678901", "7.E+99999999999", "5E2147483648"]
)
def test_a_name_with_an_endless_exponent_is_no_number(name: str) -> None:
    # Unguarded, this ends the process instead of failing.
    found = numbers_of_texts(pd.Series(["1", name, None, "x"], dtype=object))
    assert found.iloc[0] == 1
    assert found.iloc[1:].isna().all()


def test_other_texts_are_as_pandas_reads_them() -> None:
    found = numbers_of_texts(pd.Series(["1e3", " 2.5 ", "1e-300", "1e99999", "-7"], dtype=object))
    assert [found[n] for n in (0, 1, 2, 4)] == [1000, 2.5, 1e-300, -7]
    assert not math.isfinite(found[3])
    assert numbers_of_texts(pd.Series([1, 2])).tolist() == [1, 2]


def test_names_of_sixteen_hexadecimal_digits_are_a_column_of_texts() -> None:
    import pyarrow as pa

    names = [f"{number:016x}" for number in np.random.default_rng(1).integers(0, 2**63, 4_000).tolist()]
    names += ["12e4567890123456", "1234e56789012345"]
    cells = cells_of(pa.array(names))
    assert (cells.form.kind, len(cells.uniques)) == ("text", 4_002)
