"""For programs that want the bytes of files under care, wherever they are, without recalling them.

tiering.open() and the fsspec protocol frostline:// are made of this. The top of the house beside the command line:
nothing of frostline's imports it.
"""
