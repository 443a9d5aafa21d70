"""Tests of tiering.config: the file, its words, its reference."""
