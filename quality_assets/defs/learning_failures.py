"""What cannot be learnt from, as a failure in the words of whoever found it. Defines no asset."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from quality_assets.domain.models.learning.learnable import CannotLearnError
from quality_assets.stores.table_files import TableFileError
from quality_assets.tables.learning import NothingToLearnError


@contextmanager
def told_as_failure() -> Iterator[None]:
    """A failure without retries where the rows are at fault: nothing would be other the second time."""
    try:
        yield
    except (CannotLearnError, NothingToLearnError, TableFileError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error
