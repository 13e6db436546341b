"""GLIA-Net, the methods that the paper compares it with, and its ablation without the global positioning network."""
