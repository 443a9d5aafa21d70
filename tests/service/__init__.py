"""Tests of the daemon, its schedule and its unit."""
