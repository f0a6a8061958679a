"""The checks of the models that learn from tables: the version in use is itself, and beats doing without."""

from __future__ import annotations

from collections.abc import Callable

from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.release_stack import in_use
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.domain.quality.check import Answer, Check, Subject
from quality_assets.stores.released import VersionUnavailableError, load_version, manifest
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.exploration import faults_of
from quality_assets.tables.learning import release_log

NO_RELEASE = "no version is in use yet."


def model_subject(use_case: TabularUseCase) -> Subject:
    """The model of a use case as an asset: what learns."""
    return Subject("model", f"ml.{use_case.name}_model")


def evaluation_subject(use_case: TabularUseCase) -> Subject:
    """How good its versions are, as an asset."""
    return Subject("model", f"ml.{use_case.name}_evaluation")


def release_subject(use_case: TabularUseCase) -> Subject:
    """Which version is in use, as an asset."""
    return Subject("model", f"ml.{use_case.name}_release")


def exploration_subject(use_case: TabularUseCase) -> Subject:
    """The report on its table, as an asset."""
    return Subject("file", f"ml.{use_case.name}_eda")


def _report_is_whole(use_case: TabularUseCase) -> Callable[[WarehouseSession], Answer]:
    def answer(session: WarehouseSession) -> Answer:
        folders = list((session.settings.reports_dir / "eda" / use_case.name).glob("[!.]*"))
        if not folders:
            return Answer(None, why="no report was made yet.")
        faults = [f"{folder.name}: {fault}" for folder in sorted(folders) for fault in faults_of(folder)]
        return Answer(not faults, float(len(faults)), 0.0, len(faults), faults[:5])

    return answer


def _proves_itself(use_case: TabularUseCase) -> Callable[[WarehouseSession], Answer]:
    def answer(session: WarehouseSession) -> Answer:
        current = in_use(release_log(session.settings).of(use_case.name))
        if current is None:
            return Answer(None, why=NO_RELEASE)
        try:
            load_version(session.settings.models_dir, use_case, current.version, current.evidence)
        except VersionUnavailableError as error:
            return Answer(False, unexpected_count=1, examples=[str(error)])
        return Answer(True)

    return answer


def _beats_doing_without(use_case: TabularUseCase) -> Callable[[WarehouseSession], Answer]:
    def answer(session: WarehouseSession) -> Answer:
        current = in_use(release_log(session.settings).of(use_case.name))
        if current is None:
            return Answer(None, why=NO_RELEASE)
        try:
            told = manifest(session.settings.models_dir, use_case.name, current.version)
        except VersionUnavailableError as error:
            return Answer(None, why=str(error))
        leads = next(iter(told["chosen"].values()))["leads"]
        lost = [name for name, (_, low, _) in leads.items() if not low > 0]
        least = min((low for _, low, _ in leads.values()), default=None)
        return Answer(not lost, least, 0.0, len(lost), [f"it does not beat {name} beyond chance" for name in lost])

    return answer


def _permuted_is_worthless(use_case: TabularUseCase) -> Callable[[WarehouseSession], Answer]:
    def answer(session: WarehouseSession) -> Answer:
        row = session.connection.execute(
            "select max(value) from ml.model_metrics where model = $model and metric = 'r2_permuted'",
            {"model": use_case.name},
        ).fetchone()
        assert row is not None  # an aggregate gives one row
        if row[0] is None:
            return Answer(None, why="no version was trained yet.")
        return Answer(row[0] <= _MOST_PERMUTED_R2, row[0], _MOST_PERMUTED_R2, int(row[0] > _MOST_PERMUTED_R2))

    return answer


_MOST_PERMUTED_R2 = 0.05


def _checks(use_case: TabularUseCase) -> tuple[Check, ...]:
    return (
        Check(
            model_subject(use_case),
            "permuted_target_is_worthless",
            "Is a model that learns a target of other rows worth nothing?",
            "accuracy",
            answer=_permuted_is_worthless(use_case),
            finding="A model of shuffled outcomes reaches R² {observed}, more than {threshold}",
            unit="",
            remedy="Rows leak between training and test: do not use the model before that is found.",
        ),
        Check(
            evaluation_subject(use_case),
            "beats_doing_without",
            "Does the version in use beat every baseline beyond chance?",
            "accuracy",
            answer=_beats_doing_without(use_case),
            severity="WARN",
            finding="The version in use has {observed} less squared error than what it should beat",
            unit="fraction",
            remedy=f"`quality model show {use_case.name}` says what was tried; `quality model rollback` takes it back.",
        ),
        Check(
            release_subject(use_case),
            "version_in_use_proves_itself",
            "Does the version in use predict of its reference row what it did when it was saved?",
            "validity",
            answer=_proves_itself(use_case),
            finding="The version in use cannot be used; the one before it answers",
            remedy=f"`quality train {use_case.name} --promote`, or `quality model rollback {use_case.name}`.",
        ),
    )


def _report_check(use_case: TabularUseCase) -> Check:
    return Check(
        exploration_subject(use_case),
        "report_is_as_its_manifest_says",
        "Is every file of the reports on the table the one that was written?",
        "consistency",
        answer=_report_is_whole(use_case),
        severity="WARN",
        finding="{observed} of the reports were changed or are gone",
        unit="file",
        remedy=f"`quality repro {use_case.name}` writes the report of the present table anew.",
    )


LEARNING_CHECKS = tuple(
    check for use_case in TABULAR.values() for check in (*_checks(use_case), _report_check(use_case))
)
