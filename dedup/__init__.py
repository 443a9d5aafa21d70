"""Turns bytes into chunks and back: chunkers, fingerprints, codecs, packs and recipes.

Used by ``tiering.jobs`` and by nobody outside frostline. Sees streams and buffers only: it is handed no
path, no tier, no price and no rule, opens no file or socket and runs no SQL. What it writes names the
chunker and codec it used, so that data written by any version stays readable.
"""
