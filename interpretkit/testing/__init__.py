"""What plugin authors test with: a tiny model, and checks that everything a plugin offers should pass.

    import pytest
    from interpretkit.testing import checks_of

    @pytest.mark.parametrize("check", checks_of(Energy, layers=["features"]), ids=str)
    def test_energy(check):
        check()

Everything that is public is listed in `__init__.pyi`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
