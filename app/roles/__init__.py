"""Joins the core to the world: the two roles a process can play."""
