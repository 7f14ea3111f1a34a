"""Measured comparisons; each asserts that the answers are right before it prints a ratio."""
