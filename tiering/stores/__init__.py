"""Object stores: one contract (base), three providers (memory, local, s3), and wrappers that keep the same contract."""
