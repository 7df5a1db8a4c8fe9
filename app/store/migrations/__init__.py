"""The schema's history: one SQL script for each version, applied in the order of their numbers."""
