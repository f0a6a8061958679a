"""Settings that people change while the house runs: reading them, changing them, and who changed what."""

from __future__ import annotations

import json
import math
from typing import Any

from sqlalchemy import Connection, insert, select, update

from quality_assets.clock import utc_now
from quality_assets.contracts.house_settings import HOUSE_SETTINGS, HOUSE_SETTINGS_BY_KEY, HouseSetting
from quality_assets.domain.quality.alerting import SEVERITIES, is_address
from quality_assets.stores.operations.house_tables import SETTING, SETTING_HISTORY
from quality_assets.stores.operations.store import fetch, fetch_one


class SettingError(ValueError):
    """A value that a setting cannot have, or a setting that there is not; the message says which."""


def value_of(connection: Connection, key: str) -> Any:
    """What a setting says; its default where nobody has changed it."""
    found = connection.execute(select(SETTING.c.value).where(SETTING.c.key == key)).first()
    return HOUSE_SETTINGS_BY_KEY[key].default if found is None else found[0]


def all_settings(connection: Connection) -> list[dict[str, Any]]:
    """Every setting with its value, its version (0: the default), and who changed it when."""
    changed = {row["key"]: row for row in fetch(connection, select(SETTING))}
    found = []
    for setting in HOUSE_SETTINGS:
        row = changed.get(setting.key)
        found.append(
            {
                **vars(setting),
                "value": setting.default if row is None else row["value"],
                "version": 0 if row is None else row["version"],
                "updated_at": row["updated_at"] if row else None,
                "updated_by": row["updated_by"] if row else None,
            }
        )
    return found


def change(connection: Connection, key: str, given: object, actor: str) -> Any:
    """Set a setting; None gives it its default back. The value. Raises SettingError."""
    if key not in HOUSE_SETTINGS_BY_KEY:
        raise SettingError(f"There is no setting {key!r}; `quality settings` lists them.")
    setting = HOUSE_SETTINGS_BY_KEY[key]
    value = setting.default if given is None else _checked(setting, given)
    before = fetch_one(connection, select(SETTING).where(SETTING.c.key == key))
    now, old = utc_now(), before["value"] if before else setting.default
    if before is None:
        new = {"key": key, "value": value, "updated_at": now, "updated_by": actor, "version": 1}
        connection.execute(insert(SETTING), [new])
    else:
        values = {"value": value, "updated_at": now, "updated_by": actor, "version": before["version"] + 1}
        connection.execute(update(SETTING).where(SETTING.c.key == key).values(values))
    entry = {"key": key, "old_value": old, "new_value": value, "at": now, "actor": actor}
    connection.execute(insert(SETTING_HISTORY), [entry])
    return value


def _checked(setting: HouseSetting, given: object) -> object:
    if setting.type == "yes_no":
        if not isinstance(given, bool):
            raise SettingError(f"{setting.key} is true or false, not {given!r}.")
        return given
    return _checked_map(setting, given) if setting.type == "map" else _checked_number(setting, given)


def _checked_map(setting: HouseSetting, given: object) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(each, str) for pair in given.items() for each in pair):
        raise SettingError(f"{setting.key} is a map of text to text.")
    if setting.key == "alerts.severity":
        wrong = [value for value in given.values() if value not in SEVERITIES]
        if wrong:
            raise SettingError(f"{setting.key}: {wrong[0]!r} is none of {', '.join(SEVERITIES)}.")
    if setting.key == "alerts.owners":
        _check_addresses(given)
    if setting.key == "models.drift":
        _check_limits(given)
    return given


def _check_addresses(given: dict[str, str]) -> None:
    """What is no address is written to by nobody, and nobody would hear of that."""
    for owner, address in given.items():
        if not is_address(address):
            raise SettingError(
                f"alerts.owners: {address!r}, given for {owner!r}, is no e-mail address such as ann@example.com."
            )


LIMITS_OF_DRIFT = {"false_share": (0.001, 0.5), "least_distance": (0.0, 1.0)}


def _check_limits(given: dict[str, str]) -> None:
    """Each is named MODEL.LIMIT and lies where such a limit may."""
    for name, text in given.items():
        low, high = LIMITS_OF_DRIFT.get(name.rpartition(".")[2], (math.nan, math.nan))
        try:
            is_within = "." in name and low <= float(text) <= high
        except ValueError:
            is_within = False
        if not is_within:
            raise SettingError(
                f"models.drift: {name!r} is {text!r}; a name is MODEL.false_share (0.001 to 0.5) or"
                " MODEL.least_distance (0 to 1), its value a number within."
            )


def _checked_number(setting: HouseSetting, given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise SettingError(f"{setting.key} is a number, not {given!r}.")
    if setting.type == "whole" and given != int(given):
        raise SettingError(f"{setting.key} is a whole number, not {given!r}.")
    least, most = setting.minimum, setting.maximum
    if (least is not None and given < least) or (most is not None and given > most):
        raise SettingError(
            f"{setting.key} lies between {least:g} and {most:g} {setting.unit}, not {given:g}.".replace(" ,", ",")
        )
    return int(given) if setting.type == "whole" else float(given)


def parsed(key: str, text: str) -> object:
    """A value as somebody types it: a number, true or false, or JSON for a map. Raises SettingError."""
    try:
        return json.loads(text)
    except ValueError:
        raise SettingError(f"{key}: {text!r} is no number, no true or false, and no JSON.") from None
