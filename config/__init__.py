"""Sample configuration files."""
