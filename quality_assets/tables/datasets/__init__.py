"""Datasets that people watch: registering them, and judging the batches that come."""
