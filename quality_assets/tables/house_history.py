"""What people did to the house beside its settings: to channels, tokens, silences and datasets."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, insert

from quality_assets.clock import utc_now
from quality_assets.stores.operations.house_tables import HOUSE_EVENT

EntityType = Literal["channel", "token", "silence", "dataset"]
Action = Literal["added", "changed", "removed", "revoked", "ended"]


def remember(
    connection: Connection,
    entity_type: EntityType,
    entity_id: object,
    action: Action,
    subject: str,
    actor: str,
    *,
    note: str = "",
    now: datetime | None = None,
) -> None:
    """Keep who did what to which, in the transaction that does it; `subject` is what people call it by."""
    row = {
        "at": now or utc_now(),
        "actor": actor,
        "action": action,
        "entity_type": entity_type,
        "entity_id": str(entity_id),
        "subject": subject,
        "note": note or None,
    }
    connection.execute(insert(HOUSE_EVENT), [row])
