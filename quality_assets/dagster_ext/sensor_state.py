"""How far a sensor has looked, which Dagster tells nobody but the sensor itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import SensorInstigatorData
from dagster._core.storage.tags import SENSOR_NAME_TAG

if TYPE_CHECKING:
    from dagster import DagsterInstance

__all__ = ["SENSOR_NAME_TAG", "sensor_cursor"]


def sensor_cursor(instance: DagsterInstance, name: str) -> str | None:
    """The cursor of a sensor, empty where it has not moved yet; None where the sensor has never ticked."""
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    looked_at = [state.instigator_data for state in states if state.name == name]
    cursors = [data.cursor or "" for data in looked_at if isinstance(data, SensorInstigatorData)]
    return cursors[0] if cursors else None
