"""What a reader must know beside a result: of the model, of what it returns, of the step, of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.contracts.captured import Listener
from interpretkit.runs.journal import alerts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from interpretkit.engine.resolve import Step
    from interpretkit.model.model import Model
    from interpretkit.results.image import InputImage


class Heard(Listener):
    """Keeps what a step says that a reader must know, each once.

    Attributes:
        alerts: What it has said, in the order in which it did.
    """

    def __init__(self) -> None:
        self.alerts: dict[str, None] = {}

    def alert(self, text: str) -> None:
        """Keep what a reader must know."""
        self.alerts[text] = None


def unknown(outputs: Mapping[str, str]) -> Iterator[str]:
    """Yield what to say of outputs of which it is not known what they are; each is given in words, by name.

    Example:
        >>> list(unknown({"output": "labels, not known to be logits or probabilities", "age": "values"}))
        ['output: labels, not known to be logits or probabilities; so nothing is called a probability']
    """
    for name, words in outputs.items():
        if "not known" in words:
            yield f"{name}: {words}; so nothing is called a probability"


def alerts_about(step: Step, model: Model, heard: Heard, images: Iterable[InputImage]) -> tuple[str, ...]:
    """Return what a reader of a step's result must know, each once: of the model first, of the images last.

    Args:
        step: The step.
        model: The model, as its passes have shown it.
        heard: What the step itself has said.
        images: The images that the result is about.
    """
    explained = {wanted.of for wanted in step.targets}
    outputs = {name: words for name, words in model.outputs_in_words.items() if name in explained}
    said = dict.fromkeys([model.alert, *unknown(outputs), *heard.alerts, *alerts_of(images)])
    return tuple(filter(None, said))
