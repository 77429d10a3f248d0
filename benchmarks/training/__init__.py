"""The training study: rows, and the report that is made from them alone."""
