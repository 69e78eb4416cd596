"""Pictures that owe their reader nothing: grids, heatmaps, overlays, matrices, charts.

All are a `PIL.Image.Image`. Maps are drawn as arrays: values become entries of a palette, and the palette comes from
a matplotlib colour map. Every picture carries its title, the view that it is (`nearest ×32`), a colour bar with
numbers, and a legend of the marks that occur in it: dead and nearly constant channels, cells that are not finite or
lie outside the limits.

Unsigned values are drawn in viridis, overlays in inferno, signed values in coolwarm with limits symmetric about 0.
"""

from __future__ import annotations

from interpretkit.figures.attributions import attribution
from interpretkit.figures.channels import Survey, survey
from interpretkit.figures.charts import chart, picture
from interpretkit.figures.finish import panels, png, stamp
from interpretkit.figures.galleries import Exhibit, gallery
from interpretkit.figures.grids import grid
from interpretkit.figures.maps import heatmap, overlay, photo
from interpretkit.figures.matrices import matrix
from interpretkit.figures.words import alt, polarity_of
from interpretkit.words import count, fixed, number, percent, shape

__all__ = [
    "Exhibit",
    "Survey",
    "alt",
    "attribution",
    "chart",
    "count",
    "fixed",
    "gallery",
    "grid",
    "heatmap",
    "matrix",
    "number",
    "overlay",
    "panels",
    "percent",
    "photo",
    "picture",
    "png",
    "polarity_of",
    "shape",
    "stamp",
    "survey",
]
