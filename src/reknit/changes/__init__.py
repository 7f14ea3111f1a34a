"""What changed between two checkpoints: changes made on purpose, with a key (``launder``), and changes named."""
