"""Contracts of what is expected of users: who may stay away, how well that was foretold, what a crash costs."""

from __future__ import annotations

from quality_assets.contracts.table import Build, Column, Table

BANDS = ("high", "middle", "low")
CHURN_CANDIDATES = ("logistic", "recency", "active_days", "recency_by_gap")
CHURN_VERDICTS = ("probabilities hold", "ranks only", "no better than a baseline", "too few to tell")
CRASH_VERDICTS = ("not measured", "not established", "associated (observational)")

_AS_OF = Column("as_of_date", "DATE", "Last day that was known: a Sunday", nullable=False)

ENGAGEMENT_SCORES = Table(
    schema="ml",
    name="engagement_scores",
    description="How likely each user of the last 28 days is to stay away for the next 28, once a week",
    grain="one row per week and user who was active in its last 28 days",
    key=("as_of_date", "user_id"),
    build=Build("impact", inputs=("core.user_days",)),
    columns=(
        _AS_OF,
        Column("user_id", "VARCHAR", "Pseudonymous user", nullable=False),
        Column(
            "p_churn", "DOUBLE",
            "Probability of no active day in the 28 days after; null where none could be learnt. Grades say its worth",
            unit="fraction", minimum=0, maximum=1,
        ),
        Column("rank", "DOUBLE", "Share of users who are less likely to stay away", False, minimum=0, maximum=1),
        Column("band", "VARCHAR", "high: the upper tenth of ranks; middle: the next three", False, allowed=BANDS),
        Column("reasons", "VARCHAR[]", "What of the user's past speaks for it most, the strongest first", False),
        Column("scored_by", "VARCHAR", "Model, or the baseline without one", False, allowed=CHURN_CANDIDATES),
        Column("trained_through", "DATE", "Last day of the labels that the model has seen; null of a baseline"),
        Column("inputs_fingerprint", "VARCHAR", "Fingerprint of the user-days it was made from", nullable=False),
    ),
)  # fmt: skip

ENGAGEMENT_GRADES = Table(
    schema="ml",
    name="engagement_grades",
    description="How well scores of a week foretold who stayed away, beside baselines, once the 28 days were over",
    grain="one row per week and candidate",
    key=("as_of_date", "candidate"),
    build=Build("impact", made_with="ml.engagement_scores"),
    columns=(
        _AS_OF,
        Column("candidate", "VARCHAR", "Model or baseline", nullable=False, allowed=CHURN_CANDIDATES),
        Column("users", "BIGINT", "Users who were scored", nullable=False, unit="count", minimum=0),
        Column("churned", "BIGINT", "Those who stayed away for the 28 days", nullable=False, unit="count", minimum=0),
        Column("roc_auc", "DOUBLE", "Chance that who stayed away was ranked above who did not", minimum=0, maximum=1),
        Column("roc_low", "DOUBLE", "Lower end of its 95 % interval (Hanley & McNeil 1982)", minimum=0, maximum=1),
        Column("roc_high", "DOUBLE", "Upper end of its 95 % interval", minimum=0, maximum=1),
        Column("average_precision", "DOUBLE", "Area under precision and recall", minimum=0, maximum=1),
        Column("brier", "DOUBLE", "Mean squared error of probabilities; null of ranks", minimum=0, maximum=1),
        Column("brier_skill", "DOUBLE", "1 less brier ÷ that of the share that had stayed away before", maximum=1),
        Column("verdict", "VARCHAR", "What of it may be used", nullable=False, allowed=CHURN_VERDICTS),
        Column("reason", "VARCHAR", "The verdict in a sentence, with its numbers", nullable=False),
    ),
)

CRASH_COSTS = Table(
    schema="impact",
    name="crash_costs",
    description="What a first crash is associated with in the next 7 days' return, against similar people of that day",
    grain="one row per outcome",
    key=("outcome",),
    build=Build("impact", inputs=("core.user_days",)),
    columns=(
        _AS_OF,
        Column("outcome", "VARCHAR", "What is compared, by the name of a metric", nullable=False),
        Column("exposed", "BIGINT", "People whose first crash could be followed", False, unit="count", minimum=0),
        Column("exposed_rate", "DOUBLE", "Outcome of those", unit="fraction", minimum=0, maximum=1),
        Column("comparison_rate", "DOUBLE", "Outcome of similar people", unit="fraction", minimum=0, maximum=1),
        Column("effect", "DOUBLE", "Exposed less similar people of the same days (cross-fitted AIPW, ATT)"),
        Column("se", "DOUBLE", "Its standard error, by users", minimum=0),
        Column("low", "DOUBLE", "Lower end of its 95 % interval"),
        Column("high", "DOUBLE", "Upper end of its 95 % interval"),
        Column("placebo", "DOUBLE", "The same difference in the week before the crash, where there is no effect"),
        Column("placebo_se", "DOUBLE", "Its standard error", minimum=0),
        Column("overlap", "DOUBLE", "Share of those exposed who have similar people", minimum=0, maximum=1),
        Column("crashed_last_day", "BIGINT", "People who met a crash on as_of_date", False, unit="count", minimum=0),
        Column("lost_last_day", "DOUBLE", "Of them, those who do not come back for it; null unless established"),
        Column("verdict", "VARCHAR", "What may be said of it", nullable=False, allowed=CRASH_VERDICTS),
        Column("reason", "VARCHAR", "The verdict in a sentence, with its numbers", nullable=False),
        Column("inputs_fingerprint", "VARCHAR", "Fingerprint of what it was computed from", nullable=False),
    ),
)
