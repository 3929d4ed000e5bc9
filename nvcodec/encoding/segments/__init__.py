"""Long videos: segments encoded by themselves, side by side, and put together in one file."""
