"""Files that are shown, not run."""
