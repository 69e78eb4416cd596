"""Pictures that owe their reader nothing: grids, heatmaps, overlays, matrices, charts.

All are a `PIL.Image.Image`. Maps are drawn as arrays: values become entries of a palette, and the palette comes from
a matplotlib colour map. Every picture carries its title, the view that it is (`nearest ×32`), a colour bar with
numbers, and a legend of the marks that occur in it: dead and nearly constant channels, cells that are not finite or
lie outside the limits.

Unsigned values are drawn in viridis, overlays in inferno, signed values in coolwarm with limits symmetric about 0.

Everything that is public is listed in `__init__.pyi`; names are resolved when they are first used, so that plugins can
be listed without loading Pillow.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
