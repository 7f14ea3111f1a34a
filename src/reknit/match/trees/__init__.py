"""Ensembles of soft decision trees: the model, its symmetries, and matching modulo these."""
