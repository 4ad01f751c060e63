"""The index of each user's sessions."""
