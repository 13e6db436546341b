"""Phantoms, losses, the training loop and evaluation: where the weights of glianet come from."""
