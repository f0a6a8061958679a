"""Names that look alike: what two ways of writing are, and what are not."""

from __future__ import annotations

import duckdb

from quality_assets.domain.quality.likeness import names_alike


def _alike(*rows: tuple[str, str | None]) -> list[str]:
    with duckdb.connect() as connection:
        connection.execute("create schema product")
        connection.execute("create table product.dim_feature_metadata (feature varchar, first_seen_date date)")
        connection.executemany("insert into product.dim_feature_metadata values (?, ?)", list(rows))
        return [row[0] for row in connection.execute(names_alike()).fetchall()]


def test_two_ways_of_writing_a_feature_are_named_together() -> None:
    found = _alike(("Search", "2026-01-01"), ("search", "2026-01-02"), ("cart", "2026-01-01"))
    assert found == ["Search (6 characters) and search (6 characters)"]


def test_a_description_of_what_was_never_seen_is_no_way_of_writing() -> None:
    assert _alike(("Search", None), ("search", "2026-01-02")) == []
