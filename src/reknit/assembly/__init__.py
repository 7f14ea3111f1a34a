"""Pieces to network: pair the layers, order the blocks, prove the answer."""
