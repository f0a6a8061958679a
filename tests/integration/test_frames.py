"""Frames take the place of rows all at once, and what hinders them is said as it is."""

from __future__ import annotations

import duckdb
import pandas as pd
import pytest

from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.settings import Settings
from quality_assets.stores.frames import read_frame, replace_rows
from quality_assets.stores.warehouse import open_warehouse


def test_rows_that_are_refused_leave_the_old_ones_and_say_why(data_root: Settings) -> None:
    with open_warehouse(data_root) as session:
        replace_rows(session, FEATURE_DESCRIPTIONS, pd.DataFrame({"feature": ["a"], "tier": [1]}))
        with pytest.raises(duckdb.ConstraintException, match=r"NOT NULL.*feature"):
            replace_rows(session, FEATURE_DESCRIPTIONS, pd.DataFrame({"feature": ["b", None]}))
        there = read_frame(session, f"select feature, tier from {FEATURE_DESCRIPTIONS.qualified_name}")
        assert there.to_dict("records") == [{"feature": "a", "tier": 1}]
        # The second row is not fetched, and must not be in the way.
        assert session.connection.execute("from range(2)").fetchone() == (0,)
        assert replace_rows(session, FEATURE_DESCRIPTIONS, pd.DataFrame({"feature": ["c"]}), "feature = 'a'") == 1
