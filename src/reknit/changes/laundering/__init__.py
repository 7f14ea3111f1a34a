"""The kinds of steps that make one checkpoint from another: one file a kind, one entry each in ``registry``."""
