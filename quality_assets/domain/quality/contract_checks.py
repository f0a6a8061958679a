"""The checks that follow from the contracts alone: every table that is made has those that its build names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quality_assets.contracts.pipeline import PIPELINE, Pipeline
from quality_assets.contracts.table import Column, ContractCheck, Table
from quality_assets.domain.quality.check import Check, subject_of
from quality_assets.domain.quality.check_queries import built_dates, no_offenders, no_rows, within_dates
from quality_assets.domain.sql_text import literal


def _violations(column: Column) -> list[str]:
    name = f'"{column.name}"'
    found = [] if column.nullable else [f"{name} is null"]
    if column.allowed:
        found.append(f"{name} not in ({', '.join(map(literal, column.allowed))})")
    if column.minimum is not None:
        found.append(f"{name} < {column.minimum!r}")
    if column.maximum is not None:
        found.append(f"{name} > {column.maximum!r}")
    return found


def _by_event_date(table: Table) -> str:
    """The table with its partition under the name that checks ask by."""
    if table.partition_column == "event_date":
        return table.qualified_name
    return f"(select {table.partition_column} as event_date, * from {table.qualified_name})"


def contract_kept(table: Table) -> Check:
    """No row of `table` breaks its contract: nulls, allowed values, ranges."""
    broken = [rule for column in table.columns for rule in _violations(column)]
    rules = ", ".join(f"case when {rule} then '{rule.replace(chr(39), '')}' end" for rule in broken)
    where = " or ".join(broken)
    if table.is_dated:
        offenders = (
            f"select event_date, concat_ws('; ', {rules}) as example from {_by_event_date(table)}"
            f" where {within_dates()} and ({where})"
        )
        sql = no_rows(offenders, built_dates(table))
    else:
        offenders = f"select concat_ws('; ', {rules}) as example from {table.qualified_name} where {where}"
        sql = no_offenders(offenders)
    return Check(
        subject_of(table),
        "contract_kept",
        f"Does every row of {table.name} keep its contract?",
        "validity",
        sql,
        is_blocking=True,
        finding=f"{{observed}} broke the contract of {table.name}",
    )


def key_unique(table: Table) -> Check:
    """No two rows of `table` share its key."""
    keys = table.select_list(table.key)
    packed = ", ".join(f'"{key}" := any_value("{key}")' for key in table.key)
    example = f"to_json(struct_pack({packed})) as example"
    if table.is_dated:
        offenders = (
            f"select event_date, {example}"
            f" from {_by_event_date(table)} where {within_dates()} group by event_date, {keys} having count(*) > 1"
        )
        sql = no_rows(offenders, built_dates(table))
    else:
        offenders = f"select {example} from {table.qualified_name} group by {keys} having count(*) > 1"
        sql = no_offenders(offenders)
    return Check(
        subject_of(table),
        "key_unique",
        f"Is there {table.grain}?",
        "uniqueness",
        sql,
        is_blocking=True,
        finding=f"{{observed}} came more than once in {table.name}",
        unit="key",
    )


_MAKERS: Mapping[ContractCheck, Callable[[Table], Check]] = {"contract_kept": contract_kept, "key_unique": key_unique}


def contract_checks(pipeline: Pipeline) -> tuple[Check, ...]:
    """The checks that the contracts of all tables of `pipeline` ask for."""
    return tuple(_MAKERS[name](table) for table in pipeline.tables for name in pipeline.build(table).contract_checks)


CONTRACT_CHECKS = contract_checks(PIPELINE)
