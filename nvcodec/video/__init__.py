"""Real video to frames and back: PyAV, folders of images, raw bytes."""
