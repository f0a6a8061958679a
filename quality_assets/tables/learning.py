"""What the use cases that learn from tables are made of: training sets, versions with their evidence, releases.

How models learn is said in `domain/models/learning`; files are read by `stores/table_files`, versions kept by
`stores/table_models` and `stores/released`, releases by `stores/releases`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from quality_assets.contracts.ml import MODEL_METRICS
from quality_assets.contracts.use_cases import MODEL_LEAKS, MODEL_PERFORMANCE, MODEL_RELEASES
from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.release_stack import Release, in_use, standing
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.progress import Progress
from quality_assets.settings import Settings
from quality_assets.stores.frames import as_arrow, read_frame, replace_rows
from quality_assets.stores.released import (
    VersionUnavailableError,
    gates,
    load_version,
    manifest,
    manifests,
)
from quality_assets.stores.table_files import read_table
from quality_assets.stores.warehouse import WarehouseSession, open_scratch

if TYPE_CHECKING:
    from quality_assets.domain.models.learning.decisions import ReleaseDecision
    from quality_assets.domain.models.learning.held_out_rows import SelectionMode
    from quality_assets.domain.models.learning.table_training import LearningResult
    from quality_assets.stores.releases import ReleaseLog

TRAINING = "training"
"""Who releases where no person does."""
_EVIDENCE = ((MODEL_METRICS, "metrics"), (MODEL_LEAKS, "leaks"), (MODEL_PERFORMANCE, "performance"))


class NothingToLearnError(ValueError):
    """There is no training set yet; says how to give one."""


def release_log(settings: Settings) -> ReleaseLog:
    """The log of releases of a data root; what it is kept with is imported on first use."""
    from quality_assets.stores.releases import release_log as log_of

    return log_of(settings)


@dataclass(frozen=True)
class TrainedTable:
    """A version that was trained and kept; `release` is None where it was not put in use."""

    version: str
    result: LearningResult
    decision: ReleaseDecision
    release: Release | None


def load_training_set(session: WarehouseSession, use_case: TabularUseCase, path: Path) -> int:
    """Make the rows of a file the training set of a use case; rows.

    Raises TableFileError where it is no such file, and CannotLearnError where nothing can be learnt from its rows: the
    training set then stays as it was.
    """
    return write_training_set(session, use_case, read_table(use_case.contract, path))


def refresh_training_set(session: WarehouseSession, use_case: TabularUseCase) -> int:
    """Read the file that lies in the folder training/ of the data root anew, where there is one; rows there are.

    Raises as `load_training_set`, and NothingToLearnError where there is neither a file nor a row.
    """
    path = training_file(session.settings, use_case)
    if path is not None:
        return load_training_set(session, use_case, path)
    return len(training_set(session, use_case))


def training_file(settings: Settings, use_case: TabularUseCase) -> Path | None:
    """training/NAME.csv or .data of the data root, plain or .gz; None where there is none."""
    folder = settings.data_dir / "training"
    paths = (folder / f"{use_case.name}{ending}" for ending in (".csv", ".csv.gz", ".data", ".data.gz"))
    return next((path for path in paths if path.is_file()), None)


def write_training_set(session: WarehouseSession, use_case: TabularUseCase, frame: pd.DataFrame) -> int:
    """Make a frame the training set of a use case, with why rows are set aside; rows. Raises CannotLearnError."""
    from quality_assets.domain.models.learning.learnable import check_learnable, learning_rows

    check_learnable(use_case, frame)
    check_contract(session.settings, use_case, frame)
    rows = learning_rows(use_case, frame)
    key = list(use_case.contract.key)
    why = dict(zip(rows.keys, rows.quarantined, strict=True))
    named = ["-".join(map(str, row)) for row in frame[key].to_numpy()]
    kept = frame.assign(quarantined_because=[why[name] for name in named])
    return replace_rows(session, use_case.training_set, kept)


def check_contract(settings: Settings, use_case: TabularUseCase, frame: pd.DataFrame) -> None:
    """The gate before training: every row keeps the contract, and no two have one key. Raises CannotLearnError."""
    from quality_assets.domain.models.learning.learnable import CannotLearnError
    from quality_assets.domain.quality.contract_checks import contract_kept, key_unique

    table = use_case.training_set
    with open_scratch(settings) as scratch:
        scratch.execute(f"create schema {table.schema}")
        scratch.register("rows_to_check", as_arrow(table, frame))
        scratch.execute(f"create table {table.qualified_name} as select * from rows_to_check")
        for check in (contract_kept(table), key_unique(table)):
            row = scratch.execute(check.sql).fetchone()
            assert row is not None  # one answer about the whole
            if not row[1]:
                raise CannotLearnError(
                    f"{row[4]:,} rows of {len(frame):,} break the contract of {use_case.name}, such as {row[5]}"
                )


def training_set(session: WarehouseSession, use_case: TabularUseCase) -> pd.DataFrame:
    """The rows of the training set as they were read. NothingToLearnError where there are none."""
    frame = read_frame(session, f"select * exclude (quarantined_because) from {use_case.training_set.qualified_name}")
    if not len(frame):
        raise NothingToLearnError(
            f"there is nothing to learn {use_case.name} from yet: `quality train {use_case.name} --data FILE`, or"
            " --demo for rows that are made up"
        )
    # A file that had no such column left none of it; what is empty in a file's every row is refused.
    absent = [c.name for c in use_case.contract.inputs if c.nullable and frame[c.name].isna().all()]
    return frame.drop(columns=absent)


def train_version(
    session: WarehouseSession, use_case: TabularUseCase, mode: SelectionMode, progress: Progress, *, release: bool
) -> TrainedTable:
    """Train the next version on the training set, keep it with its evidence, and release it where asked and it wins.

    Raises CannotLearnError, and NothingToLearnError where there are no rows; nothing is kept then.
    """
    from quality_assets.domain.models.learning.decisions import release_decision
    from quality_assets.domain.models.learning.table_training import train_table
    from quality_assets.stores.table_models import TableModelRegistry

    settings = session.settings
    result = train_table(use_case, training_set(session, use_case), mode, progress)
    log = release_log(settings)
    champion = in_use(log.of(use_case.name))
    decision = release_decision(
        result,
        champion.version if champion else None,
        _held_out(settings, use_case, champion),
        use_case.settings,
    )
    progress("keeping the version")
    registry = TableModelRegistry(settings.models_dir, use_case)
    told = {"mode": mode, "code_version": learning_code_version(), "decision": decision.reason, "wins": decision.wins}
    version = registry.save(result, told)
    write_evidence(session, use_case, version, result)
    done = None
    if release and decision.wins:
        evidence = gates(settings.models_dir, use_case, version)
        done = log.promote(
            use_case.name, version, actor=TRAINING, reason=decision.reason, evidence=evidence["sha256"],
            expected_seq=None,
        )  # fmt: skip
    return TrainedTable(version, result, decision, done)


def _held_out(settings: Settings, use_case: TabularUseCase, champion: Release | None) -> pd.DataFrame | None:
    """The held-out rows of the version in use; None where it cannot be used."""
    from quality_assets.stores.table_models import TableModelRegistry

    if champion is None:
        return None
    try:
        load_version(settings.models_dir, use_case, champion.version, champion.evidence)
        told = manifest(settings.models_dir, use_case.name, champion.version)
        return TableModelRegistry(settings.models_dir, use_case).evidence(told)["held_out"]
    except (VersionUnavailableError, OSError):
        return None


def write_evidence(session: WarehouseSession, use_case: TabularUseCase, version: str, result: LearningResult) -> None:
    """The evidence of a version as tables, beside that of other versions and use cases."""
    key = {"model": use_case.name, "version": version}
    for table, name in _EVIDENCE:
        frame = getattr(result, name).assign(model=use_case.name, model_version=version)
        replace_rows(session, table, frame, "model = $model and model_version = $version", key)


def write_releases(session: WarehouseSession) -> int:
    """Copy the log of releases into ml.model_releases, where SQL and readers see it; rows."""
    from quality_assets.stores.releases import release_rows

    rows = release_rows(release_log(session.settings))
    return replace_rows(session, MODEL_RELEASES, pd.DataFrame(rows, columns=list(MODEL_RELEASES.column_names)))


def promote(
    settings: Settings, use_case: TabularUseCase, version: str, *, actor: str, reason: str, at: datetime | None = None,
    expected_seq: int | None = None,
) -> Release | None:  # fmt: skip
    """Put a version in use that passes its gates; None where it is in use already. Raises VersionUnavailableError."""
    evidence = gates(settings.models_dir, use_case, version)
    return release_log(settings).promote(
        use_case.name,
        version,
        actor=actor,
        reason=reason,
        evidence=evidence["sha256"],
        at=at,
        expected_seq=expected_seq,
    )


def rollback(
    settings: Settings, use_case: TabularUseCase, *, actor: str, reason: str, at: datetime | None = None
) -> Release:
    """Put the version before in use again, if it can still be used. Raises NoEarlierReleaseError,
    VersionUnavailableError."""
    from quality_assets.domain.models.learning.release_stack import given_back, newest

    log = release_log(settings)
    before = log.of(use_case.name)
    back = given_back(before)
    load_version(settings.models_dir, use_case, back.version, back.evidence)
    last = newest(before)
    return log.rollback(
        use_case.name, actor=actor, reason=reason, at=at, expected_seq=last.seq if last is not None else None
    )


def version_rows(settings: Settings, use_case: TabularUseCase) -> list[dict[str, object]]:
    """Every version, newest last: when made, of what, how well it does, and where it stands."""
    releases = release_log(settings).of(use_case.name)
    found: list[dict[str, object]] = []
    for told in manifests(settings.models_dir, use_case.name):
        version = told["version"]
        first = next(iter(told["chosen"].values()))
        found.append(
            {
                "version": version,
                "stage": standing(releases, version),
                "created_at": told["created_at"],
                "candidate": first["candidate"],
                "split": told["headline_split"],
                **{name: told["headline"].get(name) for name in ("r2", "rmse", "mae", "coverage")},
                "rows": told["rows"],
                "mode": told["mode"],
                "wins": told["wins"],
                "decision": told["decision"],
            }
        )
    return found


@lru_cache(maxsize=1)
def learning_code_version() -> str:
    """Of the modules that learn from tables, and of their contracts: the same version, the same code."""
    here = Path(__file__).resolve().parent.parent
    folders = [here / "domain" / "models" / name for name in ("learning", *TABULAR)]
    files = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    files += [here / "contracts" / name for name in ("learning.py", "use_cases.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
