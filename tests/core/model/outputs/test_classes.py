from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import interpretkit as ik
from interpretkit.errors import InputError, StepError
from interpretkit.model.outputs.classes import Classes
from interpretkit.model.outputs.columns import Contrast
from interpretkit.model.outputs.names import index_of, name_of
from interpretkit.results.image import InputImage

CLASSES = ("tench", "tabby", "Cardigan", "cardigan", "crane", "crane")
LOGITS = torch.tensor([[0.5, 2.0, -1.0, 0.0, 1.0, 3.0], [4.0, -2.0, 0.0, 1.0, 1.0, 1.0]])


def resolve(spec, labels=(None, None), classes=CLASSES):
    return resolved(spec, LOGITS, labels=labels, classes=classes)


def resolved(spec, logits, labels, classes):
    output = Classes(names=classes)
    (single,) = output.single(spec)
    images = [InputImage(id=str(row), source="", sha256="", size=(1, 1), label=each) for row, each in enumerate(labels)]
    return output.targets(single, logits, images)


def probability(row, index):
    powers = np.exp(LOGITS[row].numpy().astype(np.float64))
    return powers[index] / powers.sum()


@pytest.mark.parametrize(
    ("spec", "indices"),
    [
        ("predicted", (5, 0)),
        (1, (1, 1)),
        (0, (0, 0)),
        ("tabby", (1, 1)),
        ("TABBY", (1, 1)),
        ("Cardigan", (2, 2)),
        ("cardigan", (3, 3)),
        ("label", (3, 1)),
    ],
)
def test_a_target_is_the_logit_of_its_class_in_each_image(spec, indices):
    targets = resolve(spec, labels=("3", "tabby"))
    for row, (target, index) in enumerate(zip(targets, indices, strict=True)):
        assert (target.index, target.label) == (index, CLASSES[index])
        assert target.score == LOGITS[row, index]
        assert target.probability == pytest.approx(probability(row, index), rel=1e-12)
        assert (target.against, target.against_label) == (None, "")


@pytest.mark.parametrize(("first", "second"), [("tabby", "tench"), (1, 0)])
def test_a_contrast_is_the_difference_of_two_logits(first, second):
    targets = resolve(Contrast.model_validate({"for": first, "against": second}))
    assert [target.score for target in targets] == [1.5, -6.0]
    assert [target.probability for target in targets] == pytest.approx([probability(0, 1), probability(1, 1)])
    assert {(target.index, target.against, target.against_label) for target in targets} == {(1, 0, "tench")}
    assert str(targets[0]) == f"'tabby' against 'tench' (logit difference 1.5, probability {probability(0, 1):.3g})"


def test_without_class_names_the_index_is_the_label():
    targets = resolve("predicted", classes=())
    assert [target.label for target in targets] == ["5", "0"]
    assert name_of(1, ["only one"]) == "1"


def test_a_label_is_the_name_of_a_class_before_it_is_an_index():
    targets = resolve("label", labels=("1", "0"), classes=("1", "2", "3", "4", "5", "6"))
    assert [target.index for target in targets] == [0, 0]
    assert [target.label for target in targets] == ["1", "1"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (6, "class 6 is out of range (the model has classes 0 to 5)"),
        (-1, "class -1 is out of range (the model has classes 0 to 5)"),
        ("taby", "the model has no class 'taby' (did you mean 'tabby'?)"),
        ("CARDIGAN", "2 classes are named 'CARDIGAN' (give one of the indices 2 (Cardigan), 3 (cardigan))"),
        ("crane", "2 classes are named 'crane' (give one of the indices 4 (crane), 5 (crane))"),
        (Contrast.model_validate({"for": "tabby", "against": 6}), "class 6 is out of range"),
        (Contrast.model_validate({"for": "nothing", "against": 0}), "the model has no class 'nothing'"),
        ("label", "the target is 'label', but this image has none"),
        (Contrast.model_validate({"for": "tabby", "against": 1}), "class 'tabby' against itself is 0 for every image"),
    ],
)
def test_a_class_that_the_model_does_not_have_is_refused(spec, message):
    with pytest.raises(InputError) as caught:
        resolve(spec)
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("label", ["6", "tulip", "-1"])
def test_a_label_that_is_no_class_is_refused(label):
    with pytest.raises(InputError, match=r"class 6 is out of range|no class '(tulip|-1)'"):
        resolve("label", labels=("0", label))


@pytest.mark.parametrize("label", ["١", "²", "1٠"])
def test_digits_of_other_scripts_are_no_index(label):
    with pytest.raises(InputError, match="no class"):
        resolve("label", labels=("0", label))


@pytest.mark.parametrize(
    ("spec", "meant"), [("predict", "predicted"), ("lable", "label"), ("class token", "class_token"), ("taby", "tabby")]
)
def test_words_of_our_own_are_suggested_as_targets_beside_classes(spec, meant):
    with pytest.raises(InputError) as caught:
        resolve(spec)
    assert (caught.value.hint, caught.value.subject) == (f"did you mean {meant!r}?", spec)
    with pytest.raises(InputError) as caught:
        resolve("label", labels=("0", spec))
    assert meant == "tabby" or meant not in caught.value.hint


def test_without_class_names_a_word_of_our_own_is_suggested_or_an_index():
    hints = []
    for name in ("predict", "tabby"):
        with pytest.raises(InputError) as caught:
            index_of(name, (), count=1000)
        hints.append(caught.value.hint)
    assert hints == ["did you mean 'predicted'?", "give a class index"]


def test_a_name_needs_class_names_and_an_output_of_its_own():
    with pytest.raises(InputError, match="the model has no class names"):
        index_of("tabby", (), count=1000)
    with pytest.raises(InputError, match="class 'tabby' is out of range"):
        index_of("tabby", CLASSES, count=1)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_not_finite_fail_the_step(value):
    logits = LOGITS.clone()
    logits[1, 2] = value
    with pytest.raises(StepError, match="not finite") as caught:
        resolved(1, logits, labels=(None, None), classes=CLASSES)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    "document",
    [{"for": 1}, {"for": 1, "against": 2, "and": 3}, {"for": True, "against": 2}, {"for": 1.0, "against": 2}],
)
def test_a_contrast_names_two_classes_and_nothing_else(document):
    with pytest.raises(ValidationError):
        Contrast.model_validate(document)


@pytest.mark.parametrize(
    "numbers",
    [[[0.5, 0.5], [0.5, 0.5001]], [[0.1, 0.9], [0.25, 0.75 + 5e-4]], [[1.0, 0.0], [0.3, 0.7]]],
    ids=["rounded", "half precision", "certain"],
)
def test_probabilities_may_be_off_by_rounding(numbers):
    output = Classes(returns="probabilities")
    found = output.targets(0, torch.tensor(numbers), [None, None])
    assert [target.probability for target in found] == pytest.approx([row[0] for row in numbers])


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([[0.5, 0.5], [2.0, -3.0]], r"-3 to 2 for an image, with the sum -1 \(for logits say Classes"),
        ([[0.4, 0.9]], r"0\.4 to 0\.9 for an image, with the sum 1\.3 \(.*Labels\(returns='probabilities'\)"),
        ([[1.5, -0.5]], r"-0\.5 to 1\.5 for an image, with the sum 1 "),
    ],
    ids=["logits", "sigmoids", "one below 0"],
)
def test_what_is_no_distribution_is_not_believed_to_be_one(numbers, message):
    values = torch.tensor(numbers)
    with pytest.raises(StepError, match=message):
        Classes(returns="probabilities").targets(0, values, [None] * len(values))
    with pytest.raises(StepError, match=message):
        Classes(returns="probabilities").summary(values)


@pytest.mark.parametrize("images", [1, 2])
def test_a_softmax_over_the_images_is_refused(images):
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    net.append(torch.nn.Softmax(dim=0))
    with pytest.raises(StepError, match=r"a softmax goes over the classes, dim=1"):
        ik.visualize(net.eval(), torch.rand(images, 1, 4, 4), "saliency")


@pytest.mark.parametrize("word", ["predicted", "label"])
@pytest.mark.parametrize("target", [{"for": 0, "against": "WORD"}, {"for": "WORD", "against": 0}, {"not": "WORD"}])
def test_words_that_stand_for_no_class_there_are_not_suggested(word, target):
    asked = {key: word if each == "WORD" else each for key, each in target.items()}
    model = ik.wrap(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2)), output=Classes(names=("a", "b")))
    with pytest.raises(InputError, match=rf"'{word}' stands for no class here \(give a class index or name\)"):
        ik.visualize(model, torch.rand(1, 3, 1, 1), "saliency", target=asked)


def test_of_a_list_each_target_has_its_own_probability():
    output = Classes(names=("a", "b"), returns="logits")
    values = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    images = [InputImage(id=str(row), source="", sha256="", size=(1, 1), position=row) for row in range(2)]
    for specs in (({"not": "a"}, "b"), ("a", {"not": "b"})):
        model = ik.wrap(torch.nn.Flatten(), output=output)
        (wanted,) = model.wanted(list(specs))
        targets = model.targets(wanted, values, images)
        assert output.probability(values, targets).tolist() == pytest.approx([each.probability for each in targets])
