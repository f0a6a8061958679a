"""The names of the array types that the numeric code passes around."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


Bools = npt.NDArray[np.bool_]


Ints = npt.NDArray[np.int64]
