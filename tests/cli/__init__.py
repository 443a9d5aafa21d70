"""Tests of the command line: dispatch, output, reference."""
