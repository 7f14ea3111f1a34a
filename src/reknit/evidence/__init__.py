"""Evidence from weights: one file per kind, arrays in, score matrices with a stated meaning out; knows no network."""
