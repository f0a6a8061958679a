"""Revenue of order lines."""
