"""Architectures with empty slots: which slots there are, and which axes of theirs run over the same units."""
