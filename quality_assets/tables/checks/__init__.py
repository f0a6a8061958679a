"""Asking checks, keeping what they found, and telling what newly fails."""
