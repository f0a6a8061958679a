"""What steps print: kept for the UI where Dagster runs them, left to whoever looks on where a command does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData
from dagster._utils import touch_file

_is_printed = ContextVar("_is_printed", default=False)


@contextmanager
def printed_output() -> Iterator[None]:
    """Meanwhile runs of this process print where it prints.

    To keep it as well, Dagster starts four processes a run, and what is printed, progress of a command too, comes up to
    a second later.
    """
    token = _is_printed.set(True)
    try:
        yield
    finally:
        _is_printed.reset(token)


class OutputLogManager(LocalComputeLogManager):
    """Files of what steps print, which there are not for runs within `printed_output`."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> OutputLogManager:
        """As Dagster's, which makes one of its own class."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Keep what is printed meanwhile under `log_key`, and leave a file that says that it is complete."""
        if not _is_printed.get():
            with super().capture_logs(log_key) as context:
                yield context
            return
        yield CapturedLogContext(log_key)
        # Else the UI waits for it.
        touch_file(self.complete_artifact_path(log_key))
