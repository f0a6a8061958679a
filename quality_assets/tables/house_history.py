"""What people did to the house beside its settings: channels, tokens and silences that came, changed and went.

Kept in the history of settings, under a key that none has: what was done, to what it is called, and a remark.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, insert

from quality_assets.clock import utc_now
from quality_assets.stores.operations.house_tables import OF_ENTITY, SETTING_HISTORY

Entity = Literal["channel", "token", "silence"]
Action = Literal["added", "changed", "removed", "revoked", "ended"]


def remember(
    connection: Connection,
    entity: Entity,
    entity_id: object,
    action: Action,
    subject: str,
    actor: str,
    *,
    note: str = "",
    now: datetime | None = None,
) -> None:
    """Keep who did what to which; in the transaction that does it."""
    said = {"action": action, "subject": subject, "note": note}
    row = {"key": f"{entity}{OF_ENTITY}{entity_id}", "new_value": said, "at": now or utc_now(), "actor": actor}
    connection.execute(insert(SETTING_HISTORY), [row])
