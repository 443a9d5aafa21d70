"""Runs the command line as `python -m tiering.cli`."""

from tiering.cli import main

main()
