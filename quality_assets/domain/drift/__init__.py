"""Drift: have the data, the predictions or their quality moved, by more than chance?"""
