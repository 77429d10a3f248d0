"""Mixed sets on disk: the plan, the mixes, and the files that hold them."""
