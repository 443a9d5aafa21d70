"""Tests of tiering.app: placement and init."""
