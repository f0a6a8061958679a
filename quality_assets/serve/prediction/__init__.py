"""The server that answers for models: predictions, contributions, outcomes."""
