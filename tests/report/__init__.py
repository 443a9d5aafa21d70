"""Tests of tiering.report: views add up to the numbers they show."""
