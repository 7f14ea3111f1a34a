"""One file per kind of change: the statistic that decides it, and where its thresholds come from."""
