"""Architectures as modules and as stacked arrays: what a network computes, forward and backward."""
