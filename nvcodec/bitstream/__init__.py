"""Typed records and the bytes they stand for (``bitstream_spec.md``). Imports neither torch nor a coder."""
