"""One reader for each layout, and the parsers of its files."""
