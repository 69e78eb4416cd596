from __future__ import annotations

import pytest

from interpretkit.results.targets import Target


@pytest.mark.parametrize(
    ("spec", "index", "against"),
    [
        (281, 281, None),
        ({"for": 281, "against": 282}, 281, 282),
        ({"of": "aux", "class": 5}, 5, None),
        ({"of": "aux", "for": 5, "against": 0}, 5, 0),
        ("class_token", None, None),
        ({"of": "aux", "class": "cat"}, None, None),
    ],
)
def test_the_classes_of_a_target_follow_from_its_data(spec, index, against):
    target = Target(spec=spec, label="cat", score=1.0)
    assert (target.index, target.against) == (index, against)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"probability": 0.123456}, "'cat' (logit 1.235, probability 0.123)"),
        ({"probability": 0.5, "against_label": "dog"}, "'cat' against 'dog' (logit 1.235, probability 0.5)"),
        ({"quantity": "norm"}, "cat (norm 1.235)"),
        ({"against_label": "dog", "quantity": "logit difference"}, "cat against dog (logit difference 1.235)"),
    ],
)
def test_a_target_says_what_it_is_and_a_probability_only_where_there_is_one(more, text):
    assert str(Target(spec=1, label="cat", score=1.23456, **more)) == text


@pytest.mark.parametrize(
    ("probability", "said"), [(0.9997, "> 0.999"), (0.9994, "0.999"), (1.0, "1"), (0.25, "0.25"), (1e-5, "1e-05")]
)
def test_what_only_rounds_to_one_is_not_called_a_probability_of_one(probability, said):
    target = Target(spec=0, label="cat", score=4.0, quantity="logit", probability=probability)
    assert str(target) == f"'cat' (logit 4, probability {said})"
