"""A file to frames: the same pixels on every device. Reaches ``format`` and nothing of ``encoding``."""
