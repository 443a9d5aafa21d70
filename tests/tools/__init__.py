"""Tests of the stand-alone scripts in tools/, run as a user would run them."""
