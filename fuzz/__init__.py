"""Coverage-guided fuzzing of what an attacker can hand in: `python -m fuzz TARGET [libFuzzer's options]`.

The targets are `decoder`, `stored` and `cookies`.
"""
