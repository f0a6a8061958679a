"""Checks and expectations: what each asks, and the SQL that answers."""
