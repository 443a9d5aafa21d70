"""Tests of the jobs, in this process, on a fake clock."""
