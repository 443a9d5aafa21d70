"""Opens an installation and hands jobs what they need; builds one in the first place.

Used by the command line and the service. The only room that knows configuration, catalog, stores and trees at once.
"""
