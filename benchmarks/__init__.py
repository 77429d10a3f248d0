"""Our transform beside its peers: `python -m benchmarks` prints every table of `RESULTS.md`."""
