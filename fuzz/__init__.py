"""Coverage-guided fuzzing of what an attacker can hand in: `python -m fuzz decoder|stored [libFuzzer's options]`."""
