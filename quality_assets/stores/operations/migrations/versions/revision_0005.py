"""What people did to the house beside its settings: a table of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_HISTORY = sa.table(
    "setting_history",
    sa.column("history_id", sa.BigInteger()),
    sa.column("key", sa.String()),
    sa.column("new_value", sa.JSON()),
    sa.column("at", sa.DateTime()),
    sa.column("actor", sa.String()),
)


def upgrade() -> None:
    """Make the table, and move into it what stood among the changes of settings."""
    events = op.create_table(
        "house_event",
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("entity_type", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_house_event")),
    )
    _move_into(events)


def _move_into(events: sa.Table) -> None:
    # `channel:ops` was an event of a channel; no setting has a key with a colon.
    is_event = _HISTORY.c.key.contains(":")
    found = op.get_bind().execute(sa.select(_HISTORY).where(is_event).order_by(_HISTORY.c.history_id)).all()
    op.bulk_insert(events, [_event(row) for row in found])
    op.execute(sa.delete(_HISTORY).where(is_event))


def _event(row: sa.Row[tuple[object, ...]]) -> dict[str, object]:
    entity_type, _, entity_id = row.key.partition(":")
    said = row.new_value
    return {
        "at": row.at,
        "actor": row.actor,
        "action": said["action"],
        "entity_type": entity_type,
        "entity_id": entity_id,
        "subject": said["subject"],
        "note": said["note"] or None,
    }
