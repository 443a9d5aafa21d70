"""Machine-code kernels, compiled by numba when first needed. The only place that imports numba.

Reached through the registries (dedup.chunkers) by name, never imported at module level: numba costs half a second.
"""
