"""Keeps: the durable home of tasks, peers and invites."""
