"""Everything that touches Dagster's private side, so that an upgrade of Dagster is a matter of this folder."""
