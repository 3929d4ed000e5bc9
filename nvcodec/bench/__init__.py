"""Rate and distortion of nvcodec and of other codecs on the same frames. No part of encoding or decoding."""
