"""The schema's history, run by `frostline db upgrade` through tiering.catalog.upgrade."""
