"""Decides what should live where, and touches nothing.

Pure functions over plain values: rules, heat, prices, budgets and plans. The present moment is an
argument. Nothing below this package opens a file, asks a clock, logs, or knows how bytes are stored;
``tiering`` gathers the facts and carries the decisions out.
"""
