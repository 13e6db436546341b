"""GLIA-Net: finds intracranial aneurysms in CT angiograms of the head. Pure computation."""

__version__ = "0.1.0"
