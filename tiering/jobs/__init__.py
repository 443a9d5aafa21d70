"""The verbs: one file per job. Jobs act on a Context and return plain values; they never print."""
