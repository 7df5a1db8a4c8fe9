"""Carries: knows bytes, sessions and who may speak; knows nothing of what a task is for."""
