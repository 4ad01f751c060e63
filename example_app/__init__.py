"""A small shop whose API keeps its sessions with jwtsession. Start it by `make demo`, and copy from it."""
