"""Product-feature quality analytics as a Dagster asset graph.

Rooms, each knowing only those before it: `contracts/` says what each table is; `domain/` holds pure functions;
`stores/` opens files and databases; `tables/` builds and checks tables, `read/` reads published snapshots; `defs/`
holds every Dagster object, `serve/` the servers; `cli/` is the `quality` command. Only `defs/`, `dagster_ext/`,
`definitions.py` and `runner.py` import dagster.
"""
