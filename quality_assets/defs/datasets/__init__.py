"""Watched tables: judged in a lane of their own, beside the warehouse and never in it."""
