"""What published snapshots say, for pages, API and command line: a module a subject.

All SQL that readers run is here. Every function takes a `Reader`, binds its parameters and returns few rows. A table
that a snapshot lacks gives None or nothing, as each docstring says. Words, formats and components belong elsewhere.
"""
