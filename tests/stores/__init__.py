"""Tests of the stores: one conformance suite, and what each provider and wrapper does beyond it."""
