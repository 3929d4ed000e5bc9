"""``python -m nvcodec``."""

from nvcodec.cli.main import main

main()
