"""The table that tools/learn_projection.py learnt from 20 people's series and wrote: pooled figures only."""

from __future__ import annotations

from typing import Final

VERSION: Final = 2

#: [8 levels of a history (rates.levels) x 9 quantiles] of the coming daily rate.
COEFFICIENTS: Final = (
    (0.0878, 0.0691, -0.0261, -0.0704, -0.0522, 0.0864, 0.1910, 0.2490, 0.3321),
    (-0.0780, -0.2108, -0.2586, -0.1782, -0.1499, -0.0383, 0.0849, 0.1705, 0.2582),
    (0.0205, -0.1247, -0.1642, -0.1975, -0.1924, -0.1162, 0.0263, 0.1194, 0.2070),
    (0.0968, 0.2155, 0.4619, 0.6550, 0.8095, 0.7754, 0.5982, 0.3685, 0.1675),
    (-0.0225, 0.1683, 0.2892, 0.3427, 0.3880, 0.3197, 0.2784, 0.0778, -0.2707),
    (0.0283, 0.1943, 0.3312, 0.3795, 0.3825, 0.3740, 0.3510, 0.3746, 0.5358),
    (-0.0234, -0.0600, -0.1089, -0.1229, -0.1110, -0.1004, -0.0361, 0.1146, 0.2838),
    (0.0085, 0.0173, -0.0252, -0.1636, -0.2736, -0.4280, -0.5442, -0.4646, -0.3619),
)

#: settled, growing, lower, first, active, highest (learnt.Calibration).
CALIBRATION: Final = (0.8, 0.6, 0.75, 1.4, 0.87, 0.85)
