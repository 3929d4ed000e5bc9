"""From a file to pictures: the same pixels on every device. Imports ``format`` and nothing of ``encoding``."""
