"""The daemon's work: jobs on a schedule, upkeep in between, reload and drain.

daemon.py runs it and owns the process: arguments, signals, exit code. Everything that moves bytes is in tiering.jobs.
"""
