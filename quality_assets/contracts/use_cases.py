"""Contracts of the use cases that learn from tables, sales and housing, and of what all of them are told by."""

from __future__ import annotations

from quality_assets.contracts.learning import LearningColumn, LearningContract
from quality_assets.contracts.table import Build, Column, Table

PRODUCT_LINES = (
    "Classic Cars",
    "Motorcycles",
    "Planes",
    "Ships",
    "Trains",
    "Trucks and Buses",
    "Vintage Cars",
)
DEAL_SIZES = ("Large", "Medium", "Small")

SALES = LearningContract(
    name="sales",
    title="order lines",
    key=("ORDERNUMBER", "ORDERLINENUMBER"),
    columns=(
        LearningColumn("ORDERNUMBER", "BIGINT", "Order", nullable=False, minimum=0, role="key"),
        LearningColumn("ORDERLINENUMBER", "BIGINT", "Line of the order", nullable=False, minimum=0, role="key"),
        LearningColumn("ORDERDATE", "DATE", "Day of the order", nullable=False, role="time"),
        LearningColumn(
            "QUANTITYORDERED", "DOUBLE", "Pieces ordered", nullable=False, unit="pieces", minimum=1, maximum=100_000,
            known_at="at",
        ),
        LearningColumn(
            "PRICEEACH", "DOUBLE", "Price of a piece, which the file caps; unknown before the order is negotiated",
            unit="USD", minimum=0, maximum=1_000_000, known_at="at",
        ),
        LearningColumn(
            "MSRP", "DOUBLE", "List price of a piece", nullable=False, unit="USD", minimum=0.01, maximum=1_000_000
        ),
        LearningColumn("PRODUCTLINE", "VARCHAR", "Line of products", nullable=False, allowed=PRODUCT_LINES),
        LearningColumn("COUNTRY", "VARCHAR", "Country of the customer", nullable=False),
        LearningColumn("MONTH_ID", "DOUBLE", "Month of the order", nullable=False, minimum=1, maximum=12),
        LearningColumn("DEALSIZE", "VARCHAR", "Size of the deal", allowed=DEAL_SIZES, known_at="at"),
        LearningColumn("STATUS", "VARCHAR", "What became of the order", known_at="after"),
        LearningColumn("SALES", "DOUBLE", "Revenue of the line", nullable=False, unit="USD", minimum=0, role="target"),
    ),
)  # fmt: skip

HOUSING = LearningContract(
    name="housing",
    title="census blocks",
    key=("block",),
    columns=(
        LearningColumn("block", "BIGINT", "Number of the row in the file", nullable=False, minimum=1, role="key"),
        LearningColumn(
            "MedInc", "DOUBLE", "Median income of households", nullable=False, unit="10,000 USD", minimum=0, maximum=50
        ),
        LearningColumn(
            "HouseAge", "DOUBLE", "Median age of houses", nullable=False, unit="years", minimum=0, maximum=200
        ),
        LearningColumn("AveRooms", "DOUBLE", "Rooms per household", nullable=False, minimum=0, maximum=1_000),
        LearningColumn("AveBedrms", "DOUBLE", "Bedrooms per household", nullable=False, minimum=0, maximum=1_000),
        LearningColumn(
            "Population", "DOUBLE", "People in the block", nullable=False, unit="people", minimum=0, maximum=200_000
        ),
        LearningColumn("AveOccup", "DOUBLE", "People per household", nullable=False, minimum=0, maximum=10_000),
        LearningColumn(
            "Latitude", "DOUBLE", "Of the block", nullable=False, unit="degrees", minimum=32, maximum=42.5
        ),
        LearningColumn(
            "Longitude", "DOUBLE", "Of the block", nullable=False, unit="degrees", minimum=-125, maximum=-113
        ),
        LearningColumn(
            "MedHouseVal", "DOUBLE", "Median value of houses, capped at 5.00001", nullable=False, unit="100,000 USD",
            minimum=0, role="target",
        ),
    ),
)  # fmt: skip

CONTRACTS = (SALES, HOUSING)

SALES_TRAINING_SET = SALES.training_table()
HOUSING_TRAINING_SET = HOUSING.training_table()
SALES_PREDICTIONS = SALES.predictions_table()
HOUSING_PREDICTIONS = HOUSING.predictions_table()

_MODEL = Column("model", "VARCHAR", "Use case", nullable=False)
_VERSION = Column(
    "model_version", "VARCHAR", "Version in the registry, counted from 1 in each use case", nullable=False
)
_TRAINING_SETS = tuple(contract.training_table().qualified_name for contract in CONTRACTS)

MODEL_RELEASES = Table(
    schema="ml",
    name="model_releases",
    description="Every promotion, rollback and retirement of a model: who, when, why, and what it replaced",
    grain="one row per release",
    key=("model", "seq"),
    columns=(
        _MODEL,
        Column("seq", "BIGINT", "Order of releases, over all use cases", nullable=False, minimum=1),
        Column("model_version", "VARCHAR", "Version that it speaks of", nullable=False),
        Column("action", "VARCHAR", "What was done", nullable=False, allowed=("promote", "rollback", "retire")),
        Column(
            "stage", "VARCHAR", "Where it stands from then on", nullable=False, allowed=("staging", "canary", "prod")
        ),
        Column("actor", "VARCHAR", "Who did it", nullable=False),
        Column("reason", "VARCHAR", "Why, in a sentence", nullable=False),
        Column("at", "TIMESTAMP", "When", nullable=False, unit="UTC"),
        Column("replaces_seq", "BIGINT", "Release that was in force until then; null before the first", minimum=1),
        Column("evidence", "VARCHAR", "SHA-256 of the model file that passed the gates"),
        Column("is_in_use", "BOOLEAN", "It is in force now", nullable=False),
    ),
    build=Build("learning", inputs=_TRAINING_SETS),
)

MODEL_LEAKS = Table(
    schema="ml",
    name="model_leaks",
    description="What each input, or pair of inputs, knows of the target, and which are refused for it",
    grain="one row per version, guard and inputs",
    key=("model", "model_version", "guard", "inputs"),
    columns=(
        _MODEL,
        _VERSION,
        Column(
            "guard", "VARCHAR", "Question that was asked", nullable=False,
            allowed=("target_gives_input", "input_gives_target", "identity", "value_cap", "known_after"),
        ),
        Column("inputs", "VARCHAR", "Input or inputs", nullable=False),
        Column("evidence", "DOUBLE", "Out-of-fold R² or balanced accuracy above chance, or the share of rows"),
        Column("limit", "DOUBLE", "From which on it is refused or reported"),
        Column("verdict", "VARCHAR", "What came of it", nullable=False, allowed=("passed", "reported", "refused")),
        Column("words", "VARCHAR", "The finding, in a sentence", nullable=False),
    ),
    build=Build("learning", inputs=_TRAINING_SETS),
)  # fmt: skip

MODEL_PERFORMANCE = Table(
    schema="ml",
    name="model_performance",
    description="How well a model did on later rows than it had seen, period by period, quarantined rows included",
    grain="one row per version, inputs known and period",
    key=("model", "model_version", "known", "period"),
    columns=(
        _MODEL,
        _VERSION,
        Column("known", "VARCHAR", "Which inputs it was given", nullable=False),
        Column("period", "VARCHAR", "Quarter, or fold where rows have no order in time", nullable=False),
        Column("starts", "DATE", "First day of the period"),
        Column("rows", "BIGINT", "Rows of the period", nullable=False, minimum=1),
        Column("r2", "DOUBLE", "Share of the target's variance that is explained", maximum=1),
        Column("rmse", "DOUBLE", "Root mean squared error, in the target's unit", minimum=0),
        Column("mae", "DOUBLE", "Mean absolute error, in the target's unit", minimum=0),
        Column("coverage", "DOUBLE", "Share between p10 and p90", unit="fraction", minimum=0, maximum=1),
        Column("is_alarm", "BOOLEAN", "Worse than before beyond chance", nullable=False),
        Column("words", "VARCHAR", "The alarm in a sentence; null where there is none"),
    ),
    build=Build("learning", inputs=_TRAINING_SETS),
)

INPUT_DRIFT = Table(
    schema="ml",
    name="input_drift",
    description="How far each input of the last quarter of rows lies from those before it",
    grain="one row per use case and input",
    key=("model", "input"),
    columns=(
        _MODEL,
        Column("input", "VARCHAR", "Input of the contract", nullable=False),
        Column("rows", "BIGINT", "Rows that were looked at", nullable=False, minimum=0),
        Column("reference_rows", "BIGINT", "Rows before them", nullable=False, minimum=0),
        Column("psi", "DOUBLE", "Population stability index; shown, never decided by", minimum=0),
        Column("distance", "DOUBLE", "Kolmogorov–Smirnov, or total variation of categories", minimum=0, maximum=1),
        Column("p_value", "DOUBLE", "Of the same distance by chance", minimum=0, maximum=1),
        Column("is_drifted", "BOOLEAN", "Beyond chance, one in twenty of those told being false", nullable=False),
    ),
    build=Build("learning", inputs=_TRAINING_SETS),
)
