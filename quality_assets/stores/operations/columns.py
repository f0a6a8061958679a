"""What every table of the operations store shares: one MetaData with a naming convention, and the types of columns.

Nothing here knows a table.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, DateTime, Integer, MetaData, String
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

# SQLite's constraints have no name without this, and no later revision could drop them.
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Instant = DateTime
"""A time, UTC without zone."""

Count = BigInteger
"""A number of rows, cells or users."""

Document = JSON(none_as_null=True)
"""What nobody filters by."""

RowId = BigInteger().with_variant(Integer, "sqlite")
"""A key that the database counts up: SQLite does so for INTEGER alone."""


class Words(TypeDecorator[str]):
    """Text that both dialects take: PostgreSQL refuses NUL, and neither stores half a surrogate pair."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text with U+FFFD for NUL, and `?` for what is no character."""
        return None if value is None else plain_text(value)


def plain_text(text: str) -> str:
    """The text with U+FFFD for NUL, and `?` for what is no character."""
    return text.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")
