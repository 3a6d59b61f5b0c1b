"""Extractors of faces in pictures and films."""
