"""Tests of the data path: bytes into chunks, packs and recipes, and back."""
