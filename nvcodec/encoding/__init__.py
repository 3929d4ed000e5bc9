"""Frames to a file: the network, its quantisation, the fit, and what comes of it. Decoding never imports this."""
