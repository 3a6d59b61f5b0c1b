"""Extractors of pictures and films as a whole."""
