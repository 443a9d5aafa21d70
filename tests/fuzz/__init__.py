"""Fuzzing of every parser: targets, what was found to be interesting, and how to run them."""
