"""Files whose layer 0 is an AV1 stream: the stream, and the small networks fitted above it."""
