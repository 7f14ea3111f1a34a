"""The built-in architectures: each is a small module, and beside it a config that can be spoken of without torch."""
