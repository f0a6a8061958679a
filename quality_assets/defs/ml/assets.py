"""What will go wrong next, and how sure that is: labels, inputs, models, scores, and what became of them."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pandas as pd

from quality_assets.contracts.churn import ENGAGEMENT_GRADES, ENGAGEMENT_SCORES
from quality_assets.contracts.live import ONLINE_FEATURE_SKEW
from quality_assets.contracts.ml import (
    CALIBRATION,
    DEGRADATION_LABELS,
    FEATURE_IMPORTANCE,
    MODEL_METRICS,
    MODEL_VERSIONS,
    RISK_SCORES,
    RISK_TRAINING_SET,
    SCORE_LEDGER,
)
from quality_assets.contracts.served import PREDICTIONS
from quality_assets.contracts.table import Table
from quality_assets.contracts.use_cases import INPUT_DRIFT, MODEL_LEAKS, MODEL_PERFORMANCE, MODEL_RELEASES
from quality_assets.defs.contract_metadata import asset_arguments, asset_key, asset_spec, column_schema
from quality_assets.defs.learning_failures import told_as_failure
from quality_assets.defs.reporting import DATA_FINGERPRINT, building, listed
from quality_assets.defs.resources import POOL, WarehouseResource
from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.progress import report
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables import learning, predicted_tables, served_predictions
from quality_assets.tables import models as risk_tables
from quality_assets.tables.checks.learning_checks import (
    evaluation_subject,
    exploration_subject,
    model_subject,
    release_subject,
)
from quality_assets.tables.experiments.churn import build_engagement
from quality_assets.tables.exploration import write_exploration
from quality_assets.tables.live import build_online_feature_skew
from quality_assets.tables.model_inputs import build_labels_and_inputs
from quality_assets.tables.models import RISK_MODEL
from quality_assets.tables.risk_history import backfill_scores

_MAIN = FEATURE_RISK.main_target.name
_EVIDENCE = (MODEL_METRICS, FEATURE_IMPORTANCE, CALIBRATION, MODEL_VERSIONS)


@dg.multi_asset(
    name="labels_and_inputs",
    specs=[
        asset_spec(DEGRADATION_LABELS, "pandas"),
        asset_spec(RISK_TRAINING_SET, "pandas"),
    ],
    pool=POOL,
)
def labels_and_inputs(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult]:
    """What was known of each feature at the end of each day, and what then happened; both from the same states."""
    with building(context, warehouse, DEGRADATION_LABELS, RISK_TRAINING_SET) as made:
        rows = build_labels_and_inputs(made.session, report)
        made.wrote(DEGRADATION_LABELS, len(rows.labels))
        made.wrote(RISK_TRAINING_SET, len(rows.training_set))
    known = rows.labels["label_any"].dropna()
    yield dg.MaterializeResult(
        asset_key=asset_key(DEGRADATION_LABELS),
        metadata={
            "dagster/row_count": len(rows.labels),
            "labelled": len(known),
            "degraded": int(known.sum()),
            "onsets": int(rows.labels["is_onset_today"].sum()) if len(rows.labels) else 0,
        },
    )
    yield dg.MaterializeResult(
        asset_key=asset_key(RISK_TRAINING_SET), metadata={"dagster/row_count": len(rows.training_set)}
    )


@dg.multi_asset(
    name="risk_model",
    specs=[
        dg.AssetSpec(
            key=asset_key(RISK_MODEL),
            group_name=MODEL_VERSIONS.schema,
            kinds={"scikitlearn", "mlflow"},
            description="The model in use, in the registry under models/, and as models/risk_model.joblib.",
            # What is told of the model is its row in the list of versions.
            metadata={"dagster/column_schema": column_schema(MODEL_VERSIONS)},
            deps=[asset_key(RISK_TRAINING_SET), asset_key(DEGRADATION_LABELS)],
        ),
        *(asset_spec(table, "scikitlearn") for table in _EVIDENCE),
    ],
    pool=POOL,
)
def risk_model(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.MaterializeResult]:
    """Candidates and baselines trained and compared on later days than they saw; the best replaces the champion only if
    it wins on the same later data."""
    with building(context, warehouse, RISK_MODEL, *_EVIDENCE) as made:
        trained = risk_tables.train(made.session, report)
        model, result = trained.result.model, trained.result
        scored_with = model.targets.get(_MAIN)
        made.wrote(MODEL_METRICS, len(result.metrics))
        made.wrote(FEATURE_IMPORTANCE, len(result.importance))
        made.wrote(CALIBRATION, len(result.calibration))
        # Each training writes the list of all versions anew.
        made.wrote(MODEL_VERSIONS, made.session.connection.table(MODEL_VERSIONS.qualified_name).shape[0])
    yield dg.MaterializeResult(
        asset_key=asset_key(RISK_MODEL),
        metadata={
            "version": trained.version,
            "is_promoted": trained.decision.is_promoted,
            "decision": trained.decision.reason,
            "scores_with": scored_with.name if scored_with is not None else "nothing",
            "notes": listed(model.notes),
            "trained_through": model.trained_through.isoformat(),
            "data_fingerprint": result.data_fingerprint,
            **_headline(result.metrics),
        },
    )
    for table, rows in zip(_EVIDENCE, (result.metrics, result.importance, result.calibration, None), strict=True):
        yield dg.MaterializeResult(
            asset_key=asset_key(table), metadata={} if rows is None else {"rows_of_this_version": len(rows)}
        )


def _headline(metrics: pd.DataFrame) -> dict[str, float]:
    frame = metrics[(metrics["role"] == "champion") & (metrics["target"] == _MAIN)]
    values = {name: float(value) for name, value in zip(frame["metric"], frame["value"], strict=True)}
    return {name: value for name, value in values.items() if value == value}


@dg.asset(**asset_arguments(RISK_SCORES, "scikitlearn", also=[asset_key(RISK_MODEL)]))
def risk_scores(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """The risk of each feature within the next week, with its interval and reasons; past scores stay as they were."""
    with building(context, warehouse, RISK_SCORES) as made:
        scores = risk_tables.build_scores(made.session, report)
        backfilled = backfill_scores(made.session, report)
        made.wrote(RISK_SCORES, len(scores) + backfilled)
    known = scores["risk_probability"].dropna()
    return dg.MaterializeResult(
        metadata={
            "rows_in_run": len(scores),
            "rows_backfilled": backfilled,
            "model_version": str(scores["model_version"].iloc[0]) if len(scores) else "none",
            "unknown": len(scores) - len(known),
            **({"highest_risk": float(known.max()), "mean_risk": float(known.mean())} if len(known) else {}),
        }
    )


@dg.asset(**asset_arguments(SCORE_LEDGER, "pandas"))
def score_ledger(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Each past score beside what then happened."""
    with building(context, warehouse, SCORE_LEDGER) as made:
        ledger = risk_tables.build_ledger(made.session)
        made.wrote(SCORE_LEDGER, len(ledger))
        fingerprint = made.data_fingerprint()
    graded = ledger[ledger["is_graded"].astype(bool)] if len(ledger) else ledger
    # A score that was unknown has no error, whatever came.
    errors = graded["squared_error"].dropna()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(ledger),
            DATA_FINGERPRINT: fingerprint,
            "graded": len(graded),
            **({"brier_score": float(errors.mean())} if len(errors) else {}),
        }
    )


@dg.asset(**asset_arguments(ONLINE_FEATURE_SKEW, "pandas"))
def online_feature_skew(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Answers that the collector gave to questions about users, computed again from the lake: none may differ."""
    with building(context, warehouse, ONLINE_FEATURE_SKEW) as made:
        rows = build_online_feature_skew(made.session)
        made.wrote(ONLINE_FEATURE_SKEW, rows)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})


def _of_use_case(use_case: TabularUseCase) -> list[dg.AssetsDefinition]:
    """Training set, model with evaluation and release, and predictions of a use case that learns from a table."""
    name, title = use_case.name, use_case.contract.title
    subjects = (model_subject(use_case), evaluation_subject(use_case), release_subject(use_case))
    made_from_rows = [asset_key(use_case.training_set)]
    shown = (
        ("Versions of the model, each with its file, evidence and reference row, in the registry.", MODEL_LEAKS),
        ("How well each candidate, base and baseline did on rows that it had not seen.", MODEL_METRICS),
        ("Which version is in use: training releases only what beats it, the base and every baseline.", MODEL_RELEASES),
    )

    @dg.asset(**asset_arguments(use_case.training_set, "pandas"), description=f"The {title} that a model learns from.")
    def training_set(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
        with building(context, warehouse, use_case.training_set) as made, told_as_failure():
            rows = learning.refresh_training_set(made.session, use_case)
            made.wrote(use_case.training_set, rows)
        return dg.MaterializeResult(metadata={"dagster/row_count": rows})

    @dg.multi_asset(
        name=f"{name}_model",
        specs=[
            dg.AssetSpec(
                key=asset_key(subject),
                group_name="ml",
                kinds={"scikitlearn", "mlflow"},
                description=words,
                metadata={"dagster/column_schema": column_schema(table)},
                deps=made_from_rows,
            )
            for subject, (words, table) in zip(subjects, shown, strict=True)
        ],
        pool=POOL,
    )
    def model(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.MaterializeResult]:
        with building(context, warehouse, *subjects) as made, told_as_failure():
            trained = learning.train_version(made.session, use_case, "baseline", report, release=True)
        told: dict[str, Any] = {
            "version": trained.version,
            "is_released": trained.release is not None,
            "decision": trained.decision.reason,
            "quarantined": listed(trained.result.quarantine),
            "refused": listed(each.words for each in trained.result.findings if each.verdict == "refused"),
            **{key: value for key, value in trained.result.headline.items() if value == value},
        }
        for subject in subjects:
            yield dg.MaterializeResult(asset_key=asset_key(subject), metadata=told)

    @dg.asset(
        **asset_arguments(use_case.predictions, "scikitlearn", also=[asset_key(release_subject(use_case))]),
        description=f"What the version in use says of the {title}, beside what came.",
    )
    def predictions(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
        with building(context, warehouse, use_case.predictions) as made:
            rows = predicted_tables.build_predictions(made.session, use_case)
            made.wrote(use_case.predictions, rows)
        return dg.MaterializeResult(metadata={"rows_in_run": rows})

    return [training_set, model, predictions]


def _report_on(use_case: TabularUseCase) -> dg.AssetsDefinition:
    """The report on the table of a use case, as files."""

    @dg.asset(
        key=asset_key(exploration_subject(use_case)),
        group_name="ml",
        kinds={"json", "markdown"},
        description=f"What the table of {use_case.contract.title} looks like: the same bytes for the same data.",
        metadata={"dagster/column_schema": column_schema(use_case.training_set)},
        deps=[asset_key(use_case.training_set)],
        pool=POOL,
    )
    def exploration(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
        with building(context, warehouse, exploration_subject(use_case)) as made, told_as_failure():
            folder = write_exploration(made.session.settings, use_case, learning.training_set(made.session, use_case))
        return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(folder)})

    return exploration


of_use_cases = [each for use_case in TABULAR.values() for each in (*_of_use_case(use_case), _report_on(use_case))]


def _gathered(table: Table, what: str, build: Callable[[WarehouseSession], int]) -> dg.AssetsDefinition:
    """A table that all use cases that learn from tables share; it comes after all their models."""
    models = [asset_key(release_subject(use_case)) for use_case in TABULAR.values()]

    @dg.asset(**asset_arguments(table, "pandas", also=models), description=what)
    def gathered(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
        with building(context, warehouse, table) as made:
            rows = build(made.session)
            made.wrote(table, rows)
        return dg.MaterializeResult(metadata={"dagster/row_count": rows})

    return gathered


model_releases = _gathered(
    MODEL_RELEASES, "Every promotion and rollback of a model: who, when, why.", learning.write_releases
)
model_leaks = _gathered(
    MODEL_LEAKS, "What each input knows of the target, and which are refused for it.", predicted_tables.gather_leaks
)
model_performance = _gathered(
    MODEL_PERFORMANCE,
    "How well each version did month after month, and where it became worse.",
    predicted_tables.gather_performance,
)
input_drift = _gathered(
    INPUT_DRIFT,
    "How far the inputs of the last quarter lie from those before.",
    lambda session: len(predicted_tables.build_input_drift(session)),
)


@dg.asset(
    **asset_arguments(PREDICTIONS, "pandas"),
    description="What models were asked and answered, with what came of it; each look at it is one for drift.",
)
def predictions(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """Read the log of the server of models, then judge every model in use."""
    with building(context, warehouse, PREDICTIONS) as made:
        rows = served_predictions.build_predictions(made.session)
        made.wrote(PREDICTIONS, rows)
        reports = served_predictions.watch_models(made.session, report, context.run_id)
    told = {f"drift of {each.model}": f"{each.status}: {each.words}" for each in reports}
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, **told})


@dg.multi_asset(
    name="engagement_scores",
    specs=[asset_spec(ENGAGEMENT_SCORES), asset_spec(ENGAGEMENT_GRADES)],
    pool=POOL,
)
def engagement_scores(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource
) -> Iterator[dg.MaterializeResult]:
    """Who may stay away for the next 28 days, once a week, and how well that was foretold once they are over."""
    tables = (ENGAGEMENT_SCORES, ENGAGEMENT_GRADES)
    with building(context, warehouse, *tables) as made:
        counted = build_engagement(made.session, report)
        for table, rows in zip(tables, counted, strict=True):
            made.wrote(table, rows)
    for table, rows in zip(tables, counted, strict=True):
        yield dg.MaterializeResult(asset_key=asset_key(table), metadata={"dagster/row_count": rows})
