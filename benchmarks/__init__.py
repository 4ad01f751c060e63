"""What a session adds to a request, beside the dependency that one would write by hand: `python -m benchmarks`."""
