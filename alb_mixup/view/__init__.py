"""What people look at: plots, pages of mixes, the explorer, the report on a dataset."""
