"""The catalog: what is where, what is under way, and the ledger of what it saved. Every query is here; no job
speaks SQL.
"""
