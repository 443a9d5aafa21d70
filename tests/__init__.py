"""Tests of frostline, named as the facts they establish; what several of them share is imported from here."""
