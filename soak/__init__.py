"""A mixed load from several processes while servers and workers are killed, and what must be true in the end."""
