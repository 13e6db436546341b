"""Which phantoms are drawn for training: slabs of clinical geometry, varied."""

import numpy as np

from training.phantom import PhantomSettings

FIRST_RESERVED_SEED = 800_000
"""Seeds from here on are never trained on: 800000 and up validate, 900000 and up demonstrate and evaluate."""

FIELD_OF_VIEW_MM = (190.0, 250.0)
IN_PLANE_MM = (0.36, 0.72)
"""Up to scans that were reconstructed on a smaller matrix: a small aneurysm is then four voxels wide."""
SLICE_SPACING_MM = (0.5, 1.0)
"""The paper's scans have slices of 0.6, 0.625, 0.75 and 1 mm, its external ones of 0.9 mm (paper, Data)."""
SLICES = (96, 136)
MATRIX = (288, 512)
ANEURYSMS = (3, 8)
"""More than a patient has: every sac is one more positive example of the same volume."""

CLINICAL_SHAPE, CLINICAL_SPACING_MM = (112, 512, 512), (0.6, 0.45, 0.45)
CLINICAL_SHARE = 0.25


def training_settings(seed: int) -> PhantomSettings:
    """The geometry of the training phantom with this seed; a quarter are 512 x 512 at 0.45 mm."""
    rng = np.random.default_rng([seed, 1])
    if rng.random() < CLINICAL_SHARE:
        return PhantomSettings(CLINICAL_SHAPE, CLINICAL_SPACING_MM, ANEURYSMS)
    in_plane = float(rng.uniform(*IN_PLANE_MM))
    matrix = int(np.clip(round(rng.uniform(*FIELD_OF_VIEW_MM) / in_plane / 8) * 8, *MATRIX))
    slices = int(rng.integers(SLICES[0], SLICES[1] + 1))
    spacing = (float(rng.uniform(*SLICE_SPACING_MM)), in_plane, in_plane)
    return PhantomSettings((slices, matrix, matrix), spacing, ANEURYSMS)


def evaluation_settings() -> PhantomSettings:
    """The demonstration's geometry with three aneurysms."""
    return PhantomSettings(CLINICAL_SHAPE, CLINICAL_SPACING_MM, (3, 3))
