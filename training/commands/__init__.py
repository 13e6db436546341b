"""What the commands of `glianet-training` do."""
