"""Tests of dedup.formats: real files made here, and files that lie."""
