"""The user's own file systems: walking, reading, refusing, swapping and putting back.

Jobs and scans use it; nothing here knows of stores or of the catalog. Every access is relative to an open directory
and never follows a symbolic link, so that a tree which is being renamed or attacked under us cannot lead us out of
its root.
"""
