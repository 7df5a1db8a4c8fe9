"""Questions that stand over a screen and have one answer. They change nothing themselves."""
