"""Programs reading files under care."""
