"""Which configs the shapes of a pile suggest. A proposal may be wrong: ``reknit.architectures.fit`` decides."""
