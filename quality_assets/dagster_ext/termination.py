"""Ending a run from the Dagster UI that a process of ours runs itself: the launcher never started it, and cannot.

The UI writes down that the run is to end, and its process looks: it ends as by Ctrl-C, with whatever runs it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG

# A look takes a hundredth of a CPU second.
LOOKED_AT_EVERY_S = 3.0


class HouseRunLauncher(DefaultRunLauncher):
    """Dagster's own, which also ends runs that it has not launched."""

    def terminate(self, run_id: str) -> bool:
        """Ask a run to end; its process hears of it within seconds."""
        run = self._instance.get_run_by_id(run_id) if self.has_instance else None
        if run is None or run.is_finished or GRPC_INFO_TAG in run.tags:
            return super().terminate(run_id)
        self._instance.report_run_canceling(run)
        return True


@contextmanager
def ending_when_asked(instance: DagsterInstance, run_id: str) -> Iterator[None]:
    """Interrupt this process, as Ctrl-C does, where the UI asks that a run ends which is made within."""
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(LOOKED_AT_EVERY_S):
            # A look that fails, as while the disk is full, is no reason to end.
            with suppress(Exception):
                run = instance.get_run_by_id(run_id)
                if (
                    run
                    and run.status in (DagsterRunStatus.CANCELING, DagsterRunStatus.CANCELED)
                    and not is_over.is_set()
                ):
                    os.kill(os.getpid(), signal.SIGINT)
                    return

    looking = threading.Thread(target=look, name=f"ends {run_id[:8]}", daemon=True)
    looking.start()
    try:
        yield
    finally:
        is_over.set()
        looking.join()
