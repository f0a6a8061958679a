"""Batches of datasets: reading any table into a scratch database, and what is kept of each batch for the next."""
