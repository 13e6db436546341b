"""Measures every way to compute the network on this machine, in one run: what `glianet benchmark` prints."""
