"""The vocabulary of table contracts: `Column` and `Table`. No table is declared here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Store = Literal["warehouse", "lake"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    `type` is a DuckDB type name. `minimum` and `maximum` are inclusive and in `unit`.
    """

    name: str
    type: str
    description: str
    nullable: bool = True
    unit: str | None = None
    allowed: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None

    @property
    def ddl(self) -> str:
        """The column as it stands in CREATE TABLE."""
        return f'"{self.name}" {self.type}' + ("" if self.nullable else " NOT NULL")


@dataclass(frozen=True)
class Table:
    """One table: where it lives, what a row is, and what its columns mean.

    A `lake` table is a folder of Parquet files per `partition_column` value with a view over it in the warehouse;
    a `warehouse` table is native to DuckDB. `is_keyed` has DuckDB enforce the key by an index: for small tables that
    are written row by row; where partitions are replaced whole, a check enforces it instead. `file_kinds` are the
    endings of a lake table's file names: files of one kind have the same columns, those of different kinds may lack
    some.
    """

    schema: str
    name: str
    description: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    partition_column: str | None = None
    store: Store = "warehouse"
    is_keyed: bool = False
    file_kinds: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        names = self.column_names
        if len(set(names)) != len(names):
            raise ValueError(f"{self.qualified_name}: a column is declared twice in {names}")
        unknown = [name for name in (*self.key, self.partition_column or names[0]) if name not in names]
        if unknown:
            raise ValueError(f"{self.qualified_name}: key or partition column {unknown} is not a column")

    @property
    def qualified_name(self) -> str:
        """`schema.name`, as SQL and the documentation write it."""
        return f"{self.schema}.{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """The column names in their declared order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.qualified_name} has no column {name!r}")

    def create_sql(self, *, or_replace: bool = False) -> str:
        """The CREATE TABLE statement of a warehouse table."""
        verb = "CREATE OR REPLACE TABLE" if or_replace else "CREATE TABLE IF NOT EXISTS"
        key = f", PRIMARY KEY ({self.select_list(self.key)})" if self.is_keyed else ""
        return f"{verb} {self.qualified_name} ({', '.join(column.ddl for column in self.columns)}{key})"

    def select_list(self, names: Sequence[str] | None = None) -> str:
        """The quoted columns, comma-separated, for SELECT and INSERT."""
        return ", ".join(f'"{name}"' for name in (names or self.column_names))
