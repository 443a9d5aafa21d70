"""Strategies: when to move what where. One protocol (protocol.py), one file per idea."""
