"""Annotations in flat arrays that processes share, and what makes one valid."""
