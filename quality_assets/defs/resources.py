"""What assets, checks and sensors reach the stores through."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from quality_assets.dagster_ext.io_manager import WarehouseFrameIOManager
from quality_assets.settings import Settings, get_settings
from quality_assets.stores.warehouse import WarehouseSession, open_kept, open_warehouse

POOL = "warehouse"
"""One slot: at most one op anywhere holds the warehouse."""


class WarehouseResource(dg.ConfigurableResource):
    """The warehouse and lake of the settings in force."""

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return get_settings()

    @contextmanager
    def open(self) -> Iterator[WarehouseSession]:
        """Open for writing; waits for another process that has it."""
        with open_warehouse(self.settings) as session:
            yield session

    @contextmanager
    def open_kept(self) -> Iterator[WarehouseSession]:
        """Open for what leaves nothing behind on its connection, by the one that the run keeps open."""
        with open_kept(self.settings) as session:
            yield session


@dg.definitions
def resources() -> dg.Definitions:
    """Bound to every asset, check and sensor by name."""
    return dg.Definitions(resources={"warehouse": WarehouseResource(), "io_manager": WarehouseFrameIOManager()})
