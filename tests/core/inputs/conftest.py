from __future__ import annotations

import pytest

from interpretkit.errors import InputError


def refusal(function, *arguments, **options):
    with pytest.raises(InputError) as caught:
        function(*arguments, **options)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.fixture(name="refusal")
def _refusal():
    return refusal
