"""Tests of the pure decisions: prices, rules, plans, safety."""
