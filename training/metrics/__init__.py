"""How good predictions are: by voxel, by aneurysm and by case, as the paper counts (pages 7 to 9)."""
