"""Views on the catalog for people and programs: residency, status, savings.

Values only; the command line prints them. Nothing here changes anything.
"""
