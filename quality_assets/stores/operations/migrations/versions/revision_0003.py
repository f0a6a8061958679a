"""What was sent elsewhere: batches, and the rows that each destination has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables of deliveries."""
    op.create_table(
        "delivery",
        sa.Column("sync", sa.String(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("snapshot", sa.String(), nullable=False),
        sa.Column("inserts", sa.BigInteger(), nullable=False),
        sa.Column("updates", sa.BigInteger(), nullable=False),
        sa.Column("deletes", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("sync", "batch", name=op.f("pk_delivery")),
    )
    op.create_index(op.f("ix_delivery_started_at"), "delivery", ["started_at"])
    op.create_table(
        "delivered_row",
        sa.Column("sync", sa.String(), nullable=False),
        sa.Column("row_key", sa.String(), nullable=False),
        sa.Column("row_hash", sa.String(), nullable=False),
        sa.Column("delivered_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("sync", "row_key", name=op.f("pk_delivered_row")),
    )
