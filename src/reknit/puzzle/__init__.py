"""Train a residual MLP and scatter it: a puzzle whose answer is known."""
