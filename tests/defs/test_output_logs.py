"""What steps print: kept in files for the UI, and left where it is while a command runs them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster._core.storage.compute_log_manager import ComputeIOType

from quality_assets.dagster_ext.output_logs import OutputLogManager, printed_output

KEY = ["run", "compute_logs", "step"]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[OutputLogManager]:
    # Dagster ends its processes by a signal that they ignore where this one does, as a process of tests may.
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield OutputLogManager.from_config_value(None, {"base_dir": str(tmp_path)})
    signal.signal(signal.SIGTERM, before)


def kept(manager: OutputLogManager) -> bytes | None:
    return manager.get_log_data_for_type(KEY, ComputeIOType.STDOUT, 0, None)[0]


def test_what_is_printed_is_kept(manager: OutputLogManager) -> None:
    with manager.capture_logs(KEY):
        os.write(sys.stdout.fileno(), b"of a step\n")
    assert kept(manager) == b"of a step\n"
    assert manager.is_capture_complete(KEY)


def test_a_command_prints_at_once_and_keeps_nothing(
    manager: OutputLogManager, capfd: pytest.CaptureFixture[str]
) -> None:
    with printed_output(), manager.capture_logs(KEY):
        os.write(sys.stdout.fileno(), b"of a step\n")
        assert capfd.readouterr().out == "of a step\n"
    assert not kept(manager)
    # The UI does not wait for more.
    assert manager.is_capture_complete(KEY)
