"""A workbench for the weights of neural networks: put a dropped network back together, and say how sure that is."""

__version__ = "0.1.0"
