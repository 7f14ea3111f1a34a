"""Which networks are kin: tests with p-values, direction, sketches of files, and the tree of many."""
