"""Identity of the fleet: its authority, invites, and who is trusted with what."""
