"""Machine-code kernels, compiled by numba when first needed and kept. The only place that imports numba and llvmlite.

Reached through the registries (dedup.chunkers) by name, never imported at module level: loading one takes 30 ms, and
compiling one a second or more.
"""
