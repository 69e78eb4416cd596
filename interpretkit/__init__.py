"""Look into vision networks: one recipe, one pass, honest pictures, runs that can be verified.

    import interpretkit as ik
    run = ik.run("recipes/repvgg_b0.yaml")

Everything that is public is listed in `__init__.pyi`, and nowhere else. Importing this package loads neither torch nor
matplotlib: names are resolved when they are first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
