"""Tests of the rooms that touch users' file systems."""
