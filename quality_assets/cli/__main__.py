"""`python -m quality_assets.cli`."""

from quality_assets.cli.main import entry

entry()
