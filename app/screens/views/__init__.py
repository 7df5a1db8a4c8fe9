"""The screens, a file each: every class here that is a `View` with a `NAME` is found and can be opened."""
