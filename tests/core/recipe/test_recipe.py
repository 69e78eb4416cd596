from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, ValidationError

from interpretkit.contracts.options import Options
from interpretkit.model.outputs.grammar import TargetSpec
from interpretkit.recipe.recipe import Recipe, faults_of_options


class Inner(Options):
    width: int = 1


class Cam(Options):
    layers: list[str]
    target: TargetSpec = "predicted"
    sigma: float = Field(default=1.0, gt=0)
    method: str | None = None
    scale: Literal["own"] | list[float] = "own"
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        ("{layrs: [a]}", "14:12", "unknown key 'layrs' (did you mean 'layers'?)"),
        ("{layers: [a], batch_size: 1}", "14:25", "unknown key 'batch_size' ('batch_size' belongs under 'numerics:')"),
        ("{layers: [a], of: [b]}", "14:25", "unknown key 'of' ('of' belongs beside the 'uses:' of a step)"),
        ("{layers: [a], zzz: 1}", "14:25", "known keys: layers, target, sigma, method, scale, inner"),
        ("{sigma: 1.0}", "14:11", "key 'layers' is missing (options of a plugin stand under 'with:')"),
        ("{layers: 7}", "14:20", "layers: a list is wanted, not 7"),
        ("{layers: stage4}", "14:20", "layers: a list is wanted, not 'stage4' (write [stage4])"),
        ("{layers: [a, 7]}", "14:24", "layers[1]: text is wanted, not 7"),
        ("{layers: [a], sigma: 0}", "14:32", "sigma: a value above 0.0 is wanted, not 0"),
        ("{layers: [a], sigma: .nan}", "14:32", "sigma: a finite number is wanted, not .nan"),
        ("{layers: [a], sigma: -.inf}", "14:32", "sigma: a finite number is wanted, not -.inf"),
        ("{layers: [a], sigma: .inf}", "14:32", "sigma: a finite number is wanted, not .inf"),
        ("{layers: [a], method: 1}", "14:33", "method: text is wanted, not 1"),
        (
            "{layers: [a], target: 1.5}",
            "14:33",
            "target: a whole number or text or a mapping or a list is wanted, not 1.5",
        ),
        ("{layers: [a], target: {for: a}}", "14:33", "key 'against' is missing"),
        (
            "{layers: [a], target: {top: 2, for: a}}",
            "14:42",
            "unknown key 'for' (known keys: of, against, not, top, class, in, box, point, ",
        ),
        ("{layers: [a], scale: image}", "14:32", "scale: 'own' or a list is wanted, not 'image'"),
        ("{layers: [a], target: {for: a, agianst: b}}", "14:42", "unknown key 'agianst' (did you mean"),
        ("{layers: [a], target: {for: .5, against: b}}", "14:39", "for: a whole number or text is wanted, not 0.5"),
        ("{layers: [a], inner: {widht: 2}}", "14:33", "unknown key 'widht' (did you mean 'width'?)"),
    ],
)
def test_what_options_refuse_is_said_at_its_place_in_plain_words(read, given, place, words, *, replaced):
    recipe = read(replaced("{layers: [stage4]}", given))
    with pytest.raises(ValidationError) as caught:
        Cam.model_validate(recipe.steps[1].options)
    (error,) = faults_of_options(recipe.steps[1], caught.value, Cam)
    assert error.where == f"r.yaml:{place}"
    assert words in str(error)
    # A hint where to put options, or brackets, is given only where that is the way out.
    assert not ("target: {" in given and "'with:'" in str(error))
    assert not ("scale:" in given and "write [" in str(error))


def test_options_that_are_missing_altogether_are_refused_at_their_step(read):
    recipe = read(settings=[("model", {"uses": "repvgg"})])
    with pytest.raises(ValidationError) as caught:
        Cam.model_validate({})
    for entry, place in [(recipe.steps[3], "r.yaml:18:5"), (recipe.models["model"], "--set #1")]:
        (error,) = faults_of_options(entry, caught.value, Cam)
        assert (error.where, error.message) == (place, "key 'layers' is missing")


@pytest.mark.parametrize(
    ("reads", "order"),
    [
        ({"a": [], "b": ["a"], "c": []}, "abc"),
        ({"a": ["c"], "b": [], "c": []}, "bca"),
        ({"a": ["d"], "b": ["a"], "c": [], "d": ["c"]}, "cdab"),
        ({"a": [], "b": [], "c": ["b", "a", "a"]}, "abc"),
    ],
)
def test_steps_are_ordered_by_what_they_read_and_else_as_in_the_file(read, reads, order):
    steps = [{"id": name, "uses": "x", "of": of} for name, of in reads.items()]
    recipe = read(settings=[("steps", steps)])
    assert "".join(step.id for step in recipe.ordered_steps()) == order


def test_a_long_circle_of_steps_is_named_in_the_order_of_reading(read, refusal):
    steps = [{"id": name, "uses": "x", "of": [of]} for name, of in zip("abcd", "acdb", strict=True)]
    steps[0]["of"] = []
    error = refusal(read, settings=[("steps", steps)])
    assert error.message == "steps read each other in a circle: b → c → d → b"


def test_a_recipe_cannot_be_changed(read):
    with pytest.raises(ValidationError, match="frozen"):
        read().numerics.seed = 1


def test_the_json_schema_knows_the_short_form_and_describes_every_key():
    schema = Recipe.model_json_schema()
    assert schema["oneOf"] == [{"required": ["model"]}, {"required": ["models"]}]
    assert "model" in schema["properties"]
    for entry in (schema, *schema["$defs"].values()):
        assert [name for name, about in entry["properties"].items() if not about.get("description")] == []
