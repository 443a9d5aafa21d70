"""Targets for a fuzzer, one a file: each a function that takes any bytes, and returns or fails an assertion."""
