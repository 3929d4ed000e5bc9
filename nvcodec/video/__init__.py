"""Reading and writing of video: files through PyAV, folders of images, raw frames."""
