"""Decides, and does nothing else: plain synchronous Python, standard library only."""
