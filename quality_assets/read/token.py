"""What pages compare to see that there is news: of the snapshot, and of the operations store."""

from __future__ import annotations

import logging

from sqlalchemy.exc import SQLAlchemyError

from quality_assets.read.reader import SnapshotStore
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.stores.operations.upgrade import OperationsNewerError

log = logging.getLogger(__name__)
MARK = "#"
"""Between what is said of the snapshot and of the operations store, whose changes need no word to the reader."""


def page_token(store: SnapshotStore, settings: Settings) -> str:
    """Changes whenever a page would have to say something else."""
    try:
        count: int | str = operations_of(settings).change_count()
    except (SQLAlchemyError, OperationsNewerError):
        log.exception("the operations store does not answer")
        count = "?"
    return f"{store.token()}{MARK}{count}"
