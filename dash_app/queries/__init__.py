"""All SQL of the app, a module a page. Every function takes a `Reader`, binds its parameters, and returns few rows.

A table that a snapshot lacks gives None or nothing, as each docstring says. Words, formats and components belong
elsewhere.
"""
