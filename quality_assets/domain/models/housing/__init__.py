"""Median house values of census blocks."""
