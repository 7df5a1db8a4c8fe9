"""The commands, by what they are about: every class here that is a `Command` with a `name` is found."""
