"""A collector that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from running_collector import Collector, collecting


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One collector for the tests of a module, without keys, on the loopback address."""
    with collecting(tmp_path_factory.mktemp("collector") / "data") as running:
        yield running
