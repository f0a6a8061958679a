"""Whose a run is: the timeline and the pages of jobs leave out runs that name no code location as theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import DagsterInstance

CODE_LOCATION = "quality_assets.definitions"
REPOSITORY = "__repository__"


@contextmanager
def as_run_of_the_graph(instance: DagsterInstance, job: str) -> Iterator[None]:
    """Let runs of `job` that are made within be those of the code location that `workspace.yaml` names."""
    from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

    origin = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(CODE_LOCATION), REPOSITORY), job)
    # Running a job in this process has no argument for it.
    named = partial(instance.create_run_for_job, remote_job_origin=origin)
    instance.create_run_for_job = named  # type: ignore[method-assign]
    try:
        yield
    finally:
        del instance.create_run_for_job
