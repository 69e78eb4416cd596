from __future__ import annotations

from pydantic import Field

from interpretkit.recipe.described import Described


class Base(Described):
    width: int = 1
    """How many columns
    there are."""
    depth: int = 2
    """How many rows there are."""
    bare: int = 3


class Derived(Base):
    """A text of a class is about none of its fields."""

    depth: int = Field(default=4, description="How deep it is.")
    """What stands below counts only where the field says nothing."""
    kind_: str = Field(default="", alias="kind")
    """Of what kind."""


def test_a_field_is_described_by_itself_or_by_the_text_below_it_also_that_of_a_base():
    assert Derived.descriptions() == {
        "width": "How many columns\nthere are.",
        "depth": "How deep it is.",
        "bare": "",
        "kind_": "Of what kind.",
    }
    assert Base.descriptions()["depth"] == "How many rows there are."


def test_the_json_schema_has_the_descriptions_under_the_names_that_are_typed():
    found = Derived.model_json_schema()["properties"]
    described = {name: about.get("description") for name, about in found.items()}
    assert described == {
        "width": "How many columns\nthere are.",
        "depth": "How deep it is.",
        "bare": None,
        "kind": "Of what kind.",
    }


def test_a_class_without_a_file_has_fields_without_texts():
    typed = {}
    exec("class Typed(Described):\n    width: int = 1\n    'How wide.'", {"Described": Described}, typed)  # noqa: S102
    assert typed["Typed"].descriptions() == {"width": ""}
