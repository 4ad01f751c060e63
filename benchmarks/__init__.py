"""What a session adds to a request, side by side with what one would use instead: `python -m benchmarks`."""
