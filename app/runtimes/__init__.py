"""Runs: turns a lease into an outcome, and can end it early."""
