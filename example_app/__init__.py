"""A small tea shop that keeps its sessions with jwtsession. Start it by `make demo`, and copy from it."""
