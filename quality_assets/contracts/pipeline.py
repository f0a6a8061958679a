"""What follows from how tables are made: their order, and which of them are stale, audited, awaited together.

A `Pipeline` is made of any tables; PIPELINE is that of the catalog. What a partition's fingerprint is made of, as SQL,
is in `tables/staleness.py`; what Dagster makes of it in `defs/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from quality_assets.contracts.catalog import TABLES
from quality_assets.contracts.table import Build, Stage, Table, Window


class Pipeline:
    """The tables of `tables` that the graph makes, upstream first.

    ValueError where an input is no such table, tables hang on each other, one is made with a table that is itself made
    with another, or one is built by date from nothing that comes by date.
    """

    def __init__(self, tables: Iterable[Table]) -> None:
        self._by_name = {table.qualified_name: table for table in tables if table.build is not None}
        self._builds = {name: table.build for name, table in self._by_name.items() if table.build is not None}
        for name, build in self._builds.items():
            unknown = [other for other in _waits_for(build) if other not in self._builds]
            if unknown:
                raise ValueError(f"{name}: its build names {', '.join(unknown)}, which no contract says how to make")
            if build.made_with is not None and (build.inputs or self._builds[build.made_with].made_with):
                raise ValueError(f"{name}: inputs are said of the one table that it is made with, {build.made_with}")
        try:
            order = TopologicalSorter({name: _waits_for(build) for name, build in self._builds.items()}).static_order()
            self.tables: tuple[Table, ...] = tuple(self._by_name[name] for name in order)
        except CycleError as error:
            raise ValueError(f"tables that are made from each other: {' -> '.join(error.args[1])}") from None
        self._dated = {
            table.qualified_name
            for table in self.tables
            if table.is_dated or (table.partition_column and self.build(table).stage == "arrival")
        }
        undated = [table.qualified_name for table in self.fingerprinted if not self.dated_sources(table)]
        if undated:
            raise ValueError(f"{', '.join(undated)}: built by date, from nothing that comes by date")

    def build(self, table: Table) -> Build:
        """How `table` is made; KeyError where the pipeline does not make it."""
        return self._builds[table.qualified_name]

    def table(self, name: str) -> Table:
        """The table of a qualified name; KeyError where the pipeline does not make it."""
        return self._by_name[name]

    def inputs(self, table: Table) -> tuple[str, ...]:
        """The qualified names of what `table` is made from, also where another table's build says so."""
        build = self.build(table)
        return self._builds[build.made_with].inputs if build.made_with else build.inputs

    def of_stages(self, *stages: Stage) -> tuple[Table, ...]:
        """The tables that are made in `stages`."""
        return tuple(table for table in self.tables if self.build(table).stage in stages)

    @property
    def fingerprinted(self) -> tuple[Table, ...]:
        """The tables whose partitions know by themselves what they were built from."""
        return tuple(t for t in self.tables if t.is_dated and self.build(t).made_with is None)

    @property
    def audited(self) -> tuple[Table, ...]:
        """The tables that are published only once the checks of each of their partitions were asked."""
        return tuple(table for table in self.tables if self.build(table).is_audited)

    @property
    def awaited(self) -> tuple[Table, ...]:
        """The tables that publication comes after."""
        return tuple(table for table in self.tables if self.build(table).precedes_publication)

    def dated_sources(self, table: Table) -> tuple[str, ...]:
        """The inputs of `table` that come by date, without those that another of them is made from.

        The fingerprint of a partition covers those of all that it was built from.
        """
        dated = [name for name in self.inputs(table) if name in self._dated]
        covered = {above for name in dated for above in self._upstream(name)}
        covered -= {window.input for window in self.build(table).windows}
        return tuple(name for name in dated if name not in covered)

    def window(self, table: Table, name: str) -> Window:
        """The dates of the input `name` that one partition of `table` reads."""
        build = self.build(table)
        said = {window.input: window for window in build.windows}
        return said.get(name, Window(name, before=build.history_days))

    def _upstream(self, name: str) -> set[str]:
        direct = set(_waits_for(self._builds[name]))
        return direct.union(*(self._upstream(other) for other in direct))


def _waits_for(build: Build) -> tuple[str, ...]:
    return build.inputs if build.made_with is None else (build.made_with,)


PIPELINE = Pipeline(TABLES)
"""How the tables of the catalog are made."""
