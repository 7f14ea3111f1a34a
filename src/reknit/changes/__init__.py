"""Changes from one checkpoint to another: made, with a key (``launder``), and named (``diff``)."""
