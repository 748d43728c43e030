"""Denoisers: the network as one, and everything that can be put around one."""
