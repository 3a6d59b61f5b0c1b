"""Extractors of what is said."""
