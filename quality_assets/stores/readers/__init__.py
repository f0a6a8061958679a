"""Reading raw logs into a scratch database, whatever they are: formats, compression, encodings, dialects, accounting.

What a value means and what is wrong with it is not decided here but in `quality_assets.domain.events.validation`; which
column is which, in `quality_assets.contracts.sources.events`.

A text file is first brought into a plain form (`text`) and its line ends are counted. DuckDB then parses it in one
pass, which types the plain rows and keeps the others as they are (`delimited`, `json_lines`, `parquet`). The rows that
DuckDB accepted and rejected must add up to the lines of the file. Where they do not, DuckDB's rows are thrown away and
a slower reader splits the file (`records`), which takes up again at the next line after every record that it cannot
read. Text columns of a large load that take few values are told from a sample, and staged as ENUMs (`samples`). Last,
the few rows that are not plain are judged, those of all files of a load together (`staging`).
"""

from quality_assets.stores.readers.faults import FileRejected, FileWaits, breaks_database, lacks_room, verdict_on
from quality_assets.stores.readers.samples import RawLog
from quality_assets.stores.readers.staging import StagedFile, Staging

__all__ = [
    "FileRejected",
    "FileWaits",
    "RawLog",
    "StagedFile",
    "Staging",
    "breaks_database",
    "lacks_room",
    "verdict_on",
]
