"""Contracts of experiments and of lift: who saw which arm, whether the counts can be trusted, what an arm did."""

from __future__ import annotations

from quality_assets.contracts.table import Build, Column, Table

EXPERIMENT_STATES = ("planned", "running", "waiting", "final", "undeclared", "invalid")
HEALTH_STATUSES = ("ok", "warning", "void", "unknown", "info")
GRADES = ("A", "B", "C", "D")
ROLES = ("primary", "secondary", "guardrail")
EXCLUSIONS = ("several arms", "arm not declared", "automated")
LIFT_VERDICTS = (
    "not measured",
    "not established",
    "suggestive (do not quote)",
    "associated (observational)",
    "measured by experiment",
)

_EXPERIMENT = Column("experiment", "VARCHAR", "Name of the experiment", nullable=False)
_AS_OF = Column("as_of_date", "DATE", "Last day whose events are in it; null before there are any")


def _count(name: str, description: str, nullable: bool = False) -> Column:
    return Column(name, "BIGINT", description, nullable=nullable, unit="count", minimum=0)


EXPERIMENTS = Table(
    schema="impact",
    name="experiments",
    description="Each experiment, declared or only seen in events: how far it is, how far to trust it, what it says",
    grain="one row per experiment",
    key=("experiment",),
    build=Build(
        "impact",
        inputs=(
            "core.valid_events",
            "core.quarantined_events",
            "core.user_feature_days",
            "impact.event_days",
            "impact.definitions",
        ),
    ),
    columns=(
        _EXPERIMENT,
        _AS_OF,
        Column("owner", "VARCHAR", "Who answers for it"),
        Column("about", "VARCHAR", "The feature that its arms have or lack, where its file says so"),
        Column("state", "VARCHAR", "How far it is", nullable=False, allowed=EXPERIMENT_STATES),
        Column("start_date", "DATE", "First day of exposure: as planned, else as seen"),
        Column("end_date", "DATE", "Last day of exposure: as planned, else as seen"),
        Column("window_days", "INTEGER", "How long after exposure its metrics look", unit="days", minimum=1),
        Column("arms", "VARCHAR[]", "Its arms, the control first"),
        Column("control", "VARCHAR", "The arm that others are held against"),
        _count("exposed", "People who saw an arm"),
        _count("excluded", "Those of them who are left out of results"),
        Column("grade", "VARCHAR", "How far its results can be trusted: A to C, D is void", allowed=GRADES),
        Column("reasons", "VARCHAR[]", "What the grade comes from", nullable=False),
        Column("verdict", "VARCHAR", "What it says, in one sentence", nullable=False),
        Column("definition_version", "VARCHAR", "Fingerprint of what its file says"),
        Column("inputs_fingerprint", "VARCHAR", "Fingerprint of what its rows were computed from", nullable=False),
    ),
)

EXPERIMENT_EXPOSURES = Table(
    schema="impact",
    name="experiment_exposures",
    description="Who saw which arm of which experiment first, and when; also those who are left out, and why",
    grain="one row per experiment and user",
    key=("experiment", "user_id"),
    build=Build("impact", made_with="impact.experiments", contract_checks=("contract_kept", "key_unique")),
    columns=(
        _EXPERIMENT,
        Column("user_id", "VARCHAR", "Pseudonymous user", nullable=False),
        Column("arm", "VARCHAR", "The arm seen first", nullable=False),
        Column("exposed_at", "TIMESTAMP", "When it was first seen", nullable=False, unit="UTC"),
        Column("arms_seen", "INTEGER", "Different arms seen", nullable=False, minimum=1),
        Column("reason_excluded", "VARCHAR", "Why results leave the user out; null where not", allowed=EXCLUSIONS),
        Column("platform", "VARCHAR", "Platform at exposure"),
        Column("app_version", "VARCHAR", "Version of the client at exposure"),
        Column("country", "VARCHAR", "Country at exposure"),
        Column("is_existing", "BOOLEAN", "Whether the user was seen in the 14 days before", nullable=False),
    ),
)

EXPERIMENT_HEALTH = Table(
    schema="impact",
    name="experiment_health",
    description="Whether an experiment's counts can be trusted: shares of arms, people in both, rows lost, their past",
    grain="one row per experiment, check, and what it was asked of",
    key=("experiment", "check", "subject"),
    build=Build("impact", made_with="impact.experiments", contract_checks=("contract_kept", "key_unique")),
    columns=(
        _EXPERIMENT,
        _AS_OF,
        Column("check", "VARCHAR", "What was asked", nullable=False),
        Column("subject", "VARCHAR", "Of which part, event, metric or arm; `all` of everything", nullable=False),
        Column("value", "DOUBLE", "What was found: a p-value, a share or a count, as the check says"),
        Column("threshold", "DOUBLE", "Where it would void, or warn"),
        Column("status", "VARCHAR", "What follows", nullable=False, allowed=HEALTH_STATUSES),
        Column("grade", "VARCHAR", "The best grade that it leaves; null where it limits none", allowed=GRADES),
        Column("detail", "VARCHAR", "The finding in words", nullable=False),
    ),
)

EXPERIMENT_RESULTS = Table(
    schema="impact",
    name="experiment_results",
    description="What each arm did to each metric, with intervals; a void experiment has no numbers here",
    grain="one row per experiment, metric and arm",
    key=("experiment", "metric", "arm"),
    build=Build("impact", made_with="impact.experiments", contract_checks=("contract_kept", "key_unique")),
    columns=(
        _EXPERIMENT,
        Column("as_of_date", "DATE", "Last day whose events are in it", nullable=False),
        Column("metric", "VARCHAR", "Metric by its name", nullable=False),
        Column("arm", "VARCHAR", "The arm", nullable=False),
        Column("role", "VARCHAR", "What the metric is to the decision", nullable=False, allowed=ROLES),
        Column("is_control", "BOOLEAN", "Whether others are held against this arm", nullable=False),
        _count("n", "People whose window is over"),
        Column("open", "BIGINT", "People whose window is not over yet", nullable=False, unit="count", minimum=0),
        Column("sum", "DOUBLE", "Sum of the metric over people, of a ratio its numerator"),
        Column("sum_squares", "DOUBLE", "Sum of squares of the same"),
        Column("denominator_sum", "DOUBLE", "Sum of a ratio's denominator; null where the metric is a mean"),
        Column("mean", "DOUBLE", "The metric of the arm"),
        Column("diff", "DOUBLE", "Arm less control, adjusted for the 14 days before exposure where that helps"),
        Column("se", "DOUBLE", "Standard error of diff", minimum=0),
        Column("low", "DOUBLE", "Lower end of the fixed 95 % interval of diff: holds at the planned end, once"),
        Column("high", "DOUBLE", "Upper end of the fixed 95 % interval"),
        Column("always_low", "DOUBLE", "Lower end of the always-valid 95 % interval: holds however often one looks"),
        Column("always_high", "DOUBLE", "Upper end of the always-valid 95 % interval"),
        Column("relative_diff", "DOUBLE", "diff ÷ mean of the control"),
        Column("p", "DOUBLE", "Two-sided p of diff, at the planned end", minimum=0, maximum=1),
        Column(
            "p_fdr", "DOUBLE", "p with false discoveries controlled among metrics of one role", minimum=0, maximum=1
        ),
        Column("margin", "DOUBLE", "Guardrails: the harm that is still accepted, as a share of the control", minimum=0),
        Column("is_final", "BOOLEAN", "Whether the planned end is reached and every window over", nullable=False),
        Column("is_cuped", "BOOLEAN", "Whether diff is adjusted for the time before exposure", nullable=False),
        Column("verdict", "VARCHAR", "What follows for this metric; null of the control"),
        Column("grade", "VARCHAR", "How far the experiment can be trusted", allowed=GRADES),
    ),
)

LIFT_ESTIMATES = Table(
    schema="impact",
    name="lift_estimates",
    description="What taking up a feature is associated with, against similar people, and what speaks against it",
    grain="one row per feature and outcome",
    key=("feature", "outcome"),
    build=Build(
        "impact",
        inputs=(
            "core.user_days",
            "core.first_uses",
            "impact.funnel_entries",
            "impact.event_days",
            "impact.experiments",
        ),
    ),
    columns=(
        Column("as_of_date", "DATE", "The week's last day whose events are in it", nullable=False),
        Column("feature", "VARCHAR", "Product feature", nullable=False),
        Column("outcome", "VARCHAR", "What is compared, by the name of a metric", nullable=False),
        Column("naive", "DOUBLE", "Adopters less all others of the same days, unadjusted: never to be quoted"),
        Column("adopter_rate", "DOUBLE", "Outcome of adopters", unit="fraction", minimum=0, maximum=1),
        Column(
            "comparison_rate",
            "DOUBLE",
            "Outcome that similar people had, by the adjustment",
            unit="fraction",
            minimum=0,
            maximum=1,
        ),
        Column("adjusted", "DOUBLE", "Adopters less similar people of the same days (cross-fitted AIPW, ATT)"),
        Column("se", "DOUBLE", "Its standard error, by users", minimum=0),
        Column("placebo", "DOUBLE", "The same difference in the week before the first use, where there is no effect"),
        Column("placebo_se", "DOUBLE", "Its standard error", minimum=0),
        Column("controls_mean", "DOUBLE", "Mean of the adjusted differences of all other features"),
        Column("controls_sd", "DOUBLE", "Their spread beyond chance", minimum=0),
        Column("controls", "BIGINT", "How many other features it was held against", unit="count", minimum=0),
        Column("calibrated", "DOUBLE", "adjusted less what adopting any feature is associated with here"),
        Column("low", "DOUBLE", "Lower end of the calibrated 95 % interval"),
        Column("high", "DOUBLE", "Upper end of the calibrated 95 % interval"),
        Column("e_value", "DOUBLE", "Risk ratio that a hidden cause would need (VanderWeele & Ding 2017)", minimum=1),
        Column("adopters", "BIGINT", "People who took it up while they could be followed", nullable=False, minimum=0),
        Column("overlap", "DOUBLE", "Share of adopters who have similar people", minimum=0, maximum=1),
        Column("verdict", "VARCHAR", "What may be said of it", nullable=False, allowed=LIFT_VERDICTS),
        Column("reason", "VARCHAR", "The verdict in a sentence, with its numbers", nullable=False),
        Column("inputs_fingerprint", "VARCHAR", "Fingerprint of what it was computed from", nullable=False),
    ),
)
