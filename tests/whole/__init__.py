"""Tests of the whole program, driven through its command line as a user would."""
