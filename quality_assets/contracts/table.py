"""The vocabulary of table contracts: `Column`, `Table`, and `Build`, how a table is made. No table is declared here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Store = Literal["warehouse", "lake", "view"]
Stage = Literal[
    "arrival",
    "days",
    "trends",
    "impact",
    "model_inputs",
    "training",
    "learning",
    "scoring",
    "report",
    "publication",
]
"""The part of the graph that a table is made in: what is requested, and run, together."""
ContractCheck = Literal["contract_kept", "key_unique"]
OutsideInput = Literal["apdex_thresholds", "features_seen", "completions", "sharing"]
"""What a partition may depend on besides the same dates of its inputs."""

DefinitionKind = Literal["funnel", "segment"]
"""What people define in files of their own, each with its own partitions of the tables that hold it."""

DATED_STAGES: tuple[Stage, ...] = ("days", "trends")
CATCHING_UP_STAGES: tuple[Stage, ...] = ("impact",)
"""Stages whose tables find out by themselves which of their dates are stale (docs/adr/0017)."""


@dataclass(frozen=True)
class Window:
    """The dates of an input that one partition reads: from `before` days earlier to `after` days later, both inclusive.

    None is as many days as the partition's definition says.
    """

    input: str
    before: int | None = 0
    after: int | None = 0


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
class Build:
    """How a table is made, and what the rest of the house has to do about that.

    `inputs` are qualified names of tables. `made_with` names the table that one function makes together with this one:
    both have its inputs, and are stale together. Raise `version` when what is computed changes: every partition is then
    rebuilt. `history_days` are the earlier days of its inputs that a day's partition reads; `windows` say it of single
    inputs, and of later days too; `is_cumulative` reads all days until its own. `defined_by` are definitions of which
    each has partitions of its own, in a column of that name. `is_audited`: published
    only once its checks were asked of each partition; the rest is made anew, and checked, before each publication.
    `contract_checks` are those of the contract's own rules that are asked. `precedes_publication` is false of what is
    only an intermediate, or comes after something that readers do wait for.
    """

    stage: Stage
    inputs: tuple[str, ...] = ()
    version: int = 1
    made_with: str | None = None
    history_days: int = 0
    windows: tuple[Window, ...] = ()
    is_cumulative: bool = False
    defined_by: DefinitionKind | None = None
    also_from: tuple[OutsideInput, ...] = ()
    is_audited: bool = False
    contract_checks: tuple[ContractCheck, ...] = ("contract_kept", "key_unique")
    precedes_publication: bool = True


@dataclass(frozen=True)
class Table:
    """One table: where it lives, what a row is, and what its columns mean.

    A `lake` table is a folder of Parquet files per `partition_column` value with a view over it in the warehouse;
    a `warehouse` table is native to DuckDB; a `view` is asked of other tables whenever it is read. `is_keyed` has
    DuckDB enforce the key by an index: for small tables that are written row by row; where partitions are replaced
    whole, a check enforces it instead. `file_kinds` are the endings of a lake table's file names: files of one kind
    have the same columns, those of different kinds may lack some. `build` says how the graph makes it; a table that
    is written to as things happen has none.
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
    build: Build | None = None

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
    def is_built_by_date(self) -> bool:
        """Whether each event date is a partition that is built, checked and rebuilt by itself."""
        return self.build is not None and self.build.stage in DATED_STAGES and self.partition_column is not None

    @property
    def catches_up(self) -> bool:
        """Whether it has a partition a date, and finds out by itself which of them are stale."""
        return self.build is not None and self.build.stage in CATCHING_UP_STAGES and self.partition_column is not None

    @property
    def is_dated(self) -> bool:
        """Whether each date is a partition that knows by itself what it was built from."""
        return self.is_built_by_date or self.catches_up

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
