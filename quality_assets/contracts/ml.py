"""Contracts of the `ml` schema: degradation labels, the training set, what models scored and how well that went."""

from __future__ import annotations

from quality_assets.contracts.risk_inputs import INPUTS, SIGNAL_WORDS
from quality_assets.contracts.table import Build, Column, Table

TARGETS = ("any", "onset")
MODEL_ROLES = ("champion", "candidate", "base", "baseline")
SPLITS = ("time", "rolling", "group", "spatial", "random")
SCORE_KINDS = ("model", "baseline", "unknown")
ALIASES = ("champion", "challenger", "retired")

_FEATURE_DAY = (
    Column("event_date", "DATE", "The UTC day", nullable=False),
    Column("feature", "VARCHAR", "Product feature", nullable=False),
)
_MODEL = Column("model", "VARCHAR", "Use case: feature_risk, sales, housing", nullable=False)
_LEARNED_FROM = ("ml.risk_training_set", "ml.degradation_labels")
_SIGNAL_LIST = "any of latency, crash, error, feedback, volume; comma-separated, empty for none"

DEGRADATION_LABELS = Table(
    schema="ml",
    name="degradation_labels",
    description=(
        "Whether each feature is degraded today, and whether it will be within the horizon: the truth to predict"
    ),
    grain="one row per feature and day since it was first seen, days without events included",
    key=("event_date", "feature", "horizon_days"),
    partition_column="event_date",
    build=Build("model_inputs", inputs=("product.feature_states", "product.fact_feature_metrics")),
    columns=(
        *_FEATURE_DAY,
        Column("horizon_days", "INTEGER", "How far ahead the labels look", nullable=False, unit="days", minimum=1),
        Column("events", "BIGINT", "Events of the day; 0 on a silent day", unit="count", minimum=0),
        *(
            Column(f"is_{signal}_degraded", "BOOLEAN", f"{words} is degraded today; null where it cannot be told")
            for signal, words in SIGNAL_WORDS.items()
        ),
        Column(
            "is_degraded_today",
            "BOOLEAN",
            "Any signal is degraded today; null without a baseline or volume enough to tell",
        ),
        Column("degraded_metrics_today", "VARCHAR", f"What is degraded today: {_SIGNAL_LIST}"),
        Column("is_onset_today", "BOOLEAN", "A degradation begins today, after healthy days", nullable=False),
        Column("is_healthy_today", "BOOLEAN", "Known, not degraded, and not recovering", nullable=False),
        Column("label_any", "BOOLEAN", "Degraded on at least one of the next h days; null while that is unknown"),
        Column(
            "label_onset",
            "BOOLEAN",
            "Healthy today and a new degradation begins within h days; null while unknown or not healthy today",
        ),
        Column(
            "degraded_metrics_ahead",
            "VARCHAR",
            f"What will be degraded within h days: {_SIGNAL_LIST}; null while unknown",
        ),
        Column(
            "days_to_degradation",
            "INTEGER",
            "Days until the first degraded day within h days, else null",
            unit="days",
            minimum=1,
        ),
        Column(
            "unknown_because",
            "VARCHAR",
            "Why there is no label_any: future, no_baseline, low_volume, clock_gap, gone; else null",
        ),
    ),
)

RISK_TRAINING_SET = Table(
    schema="ml",
    name="risk_training_set",
    description="What was known of each feature at the end of each day, beside what then happened",
    grain="one row per feature and day since it was first seen",
    key=("event_date", "feature"),
    partition_column="event_date",
    build=Build(
        "model_inputs",
        inputs=(
            "product.feature_states",
            "product.fact_feature_metrics",
            "raw.feature_descriptions",
            "monitoring.event_sketch_counts",
            "core.quarantined_events",
        ),
    ),
    columns=(
        *_FEATURE_DAY,
        *(Column(item.name, "DOUBLE", item.description, unit=item.unit) for item in INPUTS),
        Column(
            "usual_users",
            "DOUBLE",
            "Mean users a day over 28 days; null where users are unknown",
            unit="count",
            minimum=0,
        ),
        Column(
            "has_baseline",
            "BOOLEAN",
            "Enough history for at least one signal; without it the model is not asked",
            nullable=False,
        ),
        Column("horizon_days", "INTEGER", "How far ahead the labels look", nullable=False, unit="days", minimum=1),
        Column("label_any", "BOOLEAN", "Degraded on at least one of the next h days; null while that is unknown"),
        Column(
            "label_onset", "BOOLEAN", "New degradation within h days of a healthy day; null where it does not apply"
        ),
    ),
)

MODEL_METRICS = Table(
    schema="ml",
    name="model_metrics",
    description="How well each candidate, base and baseline of a model did on rows it had not seen, with intervals",
    grain="one row per version, target, inputs known, candidate, split and metric",
    key=("model", "model_version", "target", "known", "candidate", "split", "metric"),
    build=Build("training", inputs=_LEARNED_FROM),
    columns=(
        _MODEL,
        Column("model_version", "VARCHAR", "Version in the registry", nullable=False),
        Column("trained_through", "DATE", "Last day whose facts it saw; null where rows have no order in time"),
        Column(
            "target",
            "VARCHAR",
            "any: degraded within h days; onset: newly degraded; else the column that is predicted",
            nullable=False,
        ),
        Column(
            "candidate",
            "VARCHAR",
            "What was tried: random_forest, linear, persistence, base_rate, list_price, mean, …",
            nullable=False,
        ),
        Column(
            "role",
            "VARCHAR",
            "Champion is what the version predicts with, even where that is a base or a baseline",
            nullable=False,
            allowed=MODEL_ROLES,
        ),
        Column(
            "metric",
            "VARCHAR",
            "pr_auc, pr_auc_lift, roc_auc, brier, brier_skill, ece, precision_at_k, recall_at_k, lead_days_median, "
            "warned_share; of numbers r2, rmse, mae, coverage, r2_permuted",
            nullable=False,
        ),
        Column("value", "DOUBLE", "Measured; null where it cannot be (one class only)"),
        Column("low", "DOUBLE", "Lower end of the 90 % block-bootstrap interval"),
        Column("high", "DOUBLE", "Upper end of the 90 % block-bootstrap interval"),
        Column("rows", "BIGINT", "Held-out rows", nullable=False, minimum=0),
        Column("positives", "BIGINT", "Held-out rows that degraded; null where a number is predicted", minimum=0),
        Column("base_rate", "DOUBLE", "positives ÷ rows: the PR-AUC of a guess", unit="fraction", minimum=0, maximum=1),
        Column("k", "INTEGER", "Features a team can look at in a day, for the metrics at k", minimum=1),
        Column("split", "VARCHAR", "How rows were held out", nullable=False, allowed=SPLITS),
        Column("known", "VARCHAR", "Which inputs were given: all, or what is missing", nullable=False),
    ),
)

FEATURE_IMPORTANCE = Table(
    schema="ml",
    name="feature_importance",
    description=(
        "What each input is worth to the champion, and to the best candidate where the champion is a baseline: loss of"
        " PR-AUC on held-out days when it is permuted"
    ),
    grain="one row per version, target and input",
    key=("model", "model_version", "target", "input"),
    build=Build("training", inputs=_LEARNED_FROM),
    columns=(
        _MODEL,
        Column("model_version", "VARCHAR", "Version in the registry", nullable=False),
        Column("target", "VARCHAR", "any or onset", nullable=False, allowed=TARGETS),
        Column("input", "VARCHAR", "Column of ml.risk_training_set", nullable=False),
        Column("description", "VARCHAR", "What the input means", nullable=False),
        Column("importance", "DOUBLE", "Mean loss of PR-AUC over permutations", unit="PR-AUC"),
        Column("low", "DOUBLE", "5th percentile", unit="PR-AUC"),
        Column("high", "DOUBLE", "95th percentile", unit="PR-AUC"),
        Column("rank", "INTEGER", "1 is most important", nullable=False, minimum=1),
        Column(
            "candidate_model", "VARCHAR", "The champion where it learns from inputs, else the candidate of most skill"
        ),
        Column("candidate_importance", "DOUBLE", "As importance, of that candidate", unit="PR-AUC"),
        Column("candidate_low", "DOUBLE", "5th percentile", unit="PR-AUC"),
        Column("candidate_high", "DOUBLE", "95th percentile", unit="PR-AUC"),
        Column("candidate_rank", "INTEGER", "1 is most important to that candidate", minimum=1),
    ),
)

CALIBRATION = Table(
    schema="ml",
    name="calibration",
    description="Of the feature-days given a risk of about p, how many degraded",
    grain="one row per version, target and bin of predicted risk",
    key=("model", "model_version", "target", "bin"),
    build=Build("training", inputs=_LEARNED_FROM),
    columns=(
        _MODEL,
        Column("model_version", "VARCHAR", "Version in the registry", nullable=False),
        Column("target", "VARCHAR", "any or onset", nullable=False, allowed=TARGETS),
        Column("bin", "INTEGER", "1 is the lowest risk; bins hold about equally many rows", nullable=False, minimum=1),
        Column("predicted", "DOUBLE", "Mean predicted probability", unit="fraction", minimum=0, maximum=1),
        Column("observed", "DOUBLE", "Share that degraded", unit="fraction", minimum=0, maximum=1),
        Column(
            "low", "DOUBLE", "Lower end of the observed share's 90 % interval", unit="fraction", minimum=0, maximum=1
        ),
        Column(
            "high", "DOUBLE", "Upper end of the observed share's 90 % interval", unit="fraction", minimum=0, maximum=1
        ),
        Column("rows", "BIGINT", "Held-out rows in the bin", nullable=False, minimum=0),
    ),
)

_SCORE_COLUMNS = (
    *_FEATURE_DAY,
    Column("model_version", "VARCHAR", "Version that made the score", nullable=False),
    Column("horizon_days", "INTEGER", "How far ahead the score looks", nullable=False, unit="days", minimum=1),
    Column(
        "score_kind",
        "VARCHAR",
        "model, baseline (the model did not beat it), or unknown",
        nullable=False,
        allowed=SCORE_KINDS,
    ),
    Column(
        "risk_probability",
        "DOUBLE",
        "P(degraded on any of the next h days); null where unknown",
        unit="fraction",
        minimum=0,
        maximum=1,
    ),
)

RISK_SCORES = Table(
    schema="ml",
    name="risk_scores",
    description=(
        "The risk of each feature as it was known at the end of each day, never rewritten by a later model; of days"
        " before there was one, by a model of what was known then, marked as backfilled"
    ),
    grain="one row per feature, day and model version",
    key=("event_date", "feature", "model_version"),
    partition_column="event_date",
    build=Build("scoring", inputs=("ml.risk_training_set",)),
    columns=(
        *_SCORE_COLUMNS,
        Column(
            "low", "DOUBLE", "Lower end of the 90 % interval of the probability", unit="fraction", minimum=0, maximum=1
        ),
        Column(
            "high", "DOUBLE", "Upper end of the 90 % interval of the probability", unit="fraction", minimum=0, maximum=1
        ),
        Column(
            "onset_probability",
            "DOUBLE",
            "P(a new degradation within h days); null where not healthy today, or no skill",
            unit="fraction",
            minimum=0,
            maximum=1,
        ),
        Column("is_degraded_today", "BOOLEAN", "Degraded today; null where it cannot be told"),
        Column(
            "rank", "INTEGER", "By expected users affected, then by probability; 1 first; null where unknown", minimum=1
        ),
        Column(
            "expected_users_affected",
            "DOUBLE",
            "risk_probability × usual users a day; null where users are unknown",
            unit="users",
            minimum=0,
        ),
        Column(
            "reasons",
            "VARCHAR",
            'JSON list of up to three {"input", "words", "value", "size"}; size = change of the probability '
            'in percentage points, largest first; "words" is plain prose',
            nullable=False,
        ),
        Column("note", "VARCHAR", "Why the score is a baseline or unknown; null for a model's score"),
        Column(
            "is_backfilled",
            "BOOLEAN",
            "Nobody was told it that day: a model of what was known by trained_through made it later; null is false",
        ),
        Column("trained_through", "DATE", "Last day whose facts its model knew; null where there was none"),
    ),
)

SCORE_LEDGER = Table(
    schema="ml",
    name="score_ledger",
    description="Each past score, graded once its future is known",
    grain="one row per feature, day and model version",
    key=("event_date", "feature", "model_version"),
    partition_column="event_date",
    build=Build("scoring", inputs=("ml.risk_scores", "ml.degradation_labels")),
    columns=(
        *_SCORE_COLUMNS,
        Column("onset_probability", "DOUBLE", "As scored", unit="fraction", minimum=0, maximum=1),
        Column("rank", "INTEGER", "As scored", minimum=1),
        Column("graded_date", "DATE", "Day from which the outcome is known: event_date + horizon_days", nullable=False),
        Column("is_graded", "BOOLEAN", "The outcome is known", nullable=False),
        Column("label_any", "BOOLEAN", "What happened; null until graded, or where it cannot be told"),
        Column("label_onset", "BOOLEAN", "What happened to a healthy feature; null until graded"),
        Column("days_to_degradation", "INTEGER", "Days until it degraded, where it did", unit="days", minimum=1),
        Column("degraded_metrics_ahead", "VARCHAR", f"What degraded: {_SIGNAL_LIST}"),
        Column(
            "squared_error",
            "DOUBLE",
            "(risk_probability − outcome)²: its mean is the Brier score",
            minimum=0,
            maximum=1,
        ),
    ),
)

MODEL_VERSIONS = Table(
    schema="ml",
    name="model_versions",
    description="Every model there was: what it was made of, whether it was promoted, why, and when it was live",
    grain="one row per version",
    key=(
        "model",
        "model_version",
    ),
    build=Build("training", inputs=_LEARNED_FROM),
    columns=(
        _MODEL,
        Column("model_version", "VARCHAR", "Version in the registry", nullable=False),
        Column("created_at", "TIMESTAMP", "When it was saved", nullable=False, unit="UTC"),
        Column("trained_through", "DATE", "Last day whose facts it saw", nullable=False),
        Column("horizon_days", "INTEGER", "How far ahead it looks", nullable=False, unit="days", minimum=1),
        Column("champion_model", "VARCHAR", "Candidate or baseline that scores the any target", nullable=False),
        Column(
            "is_baseline",
            "BOOLEAN",
            "No candidate beat the best baseline, so the baseline is the model",
            nullable=False,
        ),
        Column("has_onset_skill", "BOOLEAN", "The onset probability is shown", nullable=False),
        Column("data_fingerprint", "VARCHAR", "Same training data, same fingerprint", nullable=False),
        Column("code_version", "VARCHAR", "Of the code that made it", nullable=False),
        Column("inputs_fingerprint", "VARCHAR", "Same inputs contract, same fingerprint", nullable=False),
        Column("artifact_sha256", "VARCHAR", "Of the model file; nothing else is loaded", nullable=False),
        Column("alias", "VARCHAR", "Where it stands now", allowed=ALIASES),
        Column("live_from", "TIMESTAMP", "Became champion; null if never", unit="UTC"),
        Column("live_until", "TIMESTAMP", "Was replaced; null while champion", unit="UTC"),
        Column("decision", "VARCHAR", "Why it was promoted or not, in a sentence", nullable=False),
        Column("pr_auc", "DOUBLE", "Of the any target, held-out", minimum=0, maximum=1),
        Column("best_baseline_pr_auc", "DOUBLE", "The bar", minimum=0, maximum=1),
    ),
)

TABLES = (
    DEGRADATION_LABELS,
    RISK_TRAINING_SET,
    MODEL_METRICS,
    FEATURE_IMPORTANCE,
    CALIBRATION,
    RISK_SCORES,
    SCORE_LEDGER,
    MODEL_VERSIONS,
)
