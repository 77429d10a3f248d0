"""Samples that are kept: in memory, in one file for all workers, or the most recent ones."""
