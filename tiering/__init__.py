"""Acts on the world for frostline: stores, catalog, hot trees, jobs, command line and service.

Everything that reads a file, opens a socket, commits a row or prints a line lives below this package.
What should be done is decided by ``policies``; how bytes become chunks and back is known by ``dedup``.
Importing this package imports nothing else.
"""
