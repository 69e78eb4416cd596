from __future__ import annotations

from pathlib import Path

import pytest

from interpretkit.errors import RecipeError
from interpretkit.recipe.read import read_recipe

RECIPE = Path(__file__).with_name("example.yaml").read_text()


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Return a function that writes a text and reads it as a recipe; errors then begin with `r.yaml`."""
    monkeypatch.chdir(tmp_path)

    def write_and_read(text: str | bytes = RECIPE, **arguments):
        (tmp_path / "r.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_recipe("r.yaml", **arguments)

    return write_and_read


def refusal(read, *arguments, **keywords) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        read(*arguments, **keywords)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return caught.value


def replaced(old: str, new: str) -> str:
    assert old in RECIPE
    return RECIPE.replace(old, new, 1)


@pytest.fixture(name="refusal")
def _refusal():
    return refusal


@pytest.fixture(name="replaced")
def _replaced():
    return replaced
