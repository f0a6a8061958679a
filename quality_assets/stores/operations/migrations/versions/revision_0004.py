"""What planted faults showed: reports, and the faults of each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables of planted faults."""
    op.create_table(
        "mutation_report",
        sa.Column("report_id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("planted", sa.Integer(), nullable=False),
        sa.Column("killed", sa.Integer(), nullable=False),
        sa.Column("clean_batches", sa.Integer(), nullable=False),
        sa.Column("false_alarms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_mutation_report")),
    )
    op.create_index(op.f("ix_mutation_report_subject_made_at"), "mutation_report", ["subject", "made_at"])
    op.create_table(
        "mutant",
        sa.Column("report_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("fault", sa.String(), nullable=False),
        sa.Column("dimension", sa.String(), nullable=False),
        sa.Column("columns", sa.String(), nullable=False, server_default=""),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("cells", sa.BigInteger(), nullable=False),
        sa.Column("is_killed", sa.Boolean(), nullable=False),
        sa.Column("told_by", sa.String(), nullable=True),
        sa.Column("suggestion", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["report_id"], ["mutation_report.report_id"], name=op.f("fk_mutant_report_id_mutation_report")
        ),
        sa.PrimaryKeyConstraint("report_id", "number", name=op.f("pk_mutant")),
    )
