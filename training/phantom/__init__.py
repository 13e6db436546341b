"""Synthetic head CT angiograms with planted saccular aneurysms, deterministic by seed."""

from training.phantom.make_phantom import make_phantom
from training.phantom.model import GENERATOR_VERSION, Phantom, PhantomSettings, PlantedAneurysm

__all__ = ["GENERATOR_VERSION", "Phantom", "PhantomSettings", "PlantedAneurysm", "make_phantom"]
