"""Models: a wrapped `nn.Module` with its preprocessing, class names, addressable layers, and `score`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, cast

from interpretkit.errors import RecipeError, StepError, did_you_mean
from interpretkit.layertable import LayerInfo, LayerTable
from interpretkit.layout import Layout, arrange
from interpretkit.preprocessing import Preprocessing, stretched
from interpretkit.targets import SingleSpec, Target, probabilities_of, resolve_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    import numpy as np
    import torch
    from PIL.Image import Image

    from interpretkit.capture import Address, Call


_USUAL_SIZE = 224


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as somebody asked for it, and the module call that it stands for.

    Attributes:
        name: The name asked for: an alias, or a path, with `#k` for the k-th call or `#*` for every call.
        address: What the hook catches.
    """

    name: str
    address: Address

    def calls(self, recorded: Collection[Address]) -> tuple[Layer, ...]:
        """Return the layers that it stands for: itself, or those among `recorded` that are calls of it."""
        from interpretkit.capture import EVERY, Address

        if self.address.call != EVERY:
            return (self,)
        base, path = self.name.removesuffix("#*"), self.address.path
        found = sorted(each.call for each in recorded if each.path == path and each.call)
        # Called once, it has its plain name.
        return tuple(Layer(base if found == [1] else f"{base}#{call}", Address(path, call)) for call in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsInfo:
    """Where a model's weights come from.

    Attributes:
        kind: `random`, `path`, `hub`, `published`, or `given` (the module was handed over with its weights).
        source: File, repository with revision, or published name with address; for a fallback, what it stands in for.
        sha256: Hash of the file; empty where there is none.
        fallback: Why random weights were used although the recipe asks for others; empty if it does not.
    """

    kind: Literal["random", "path", "hub", "published", "given"] = "given"
    source: str = ""
    sha256: str = ""
    fallback: str = ""

    def __str__(self) -> str:
        if self.kind == "random":
            return f"random weights in place of {self.source}" if self.fallback else "random weights"
        return self.source or "weights as given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A network that can be looked into.

    Attributes:
        module: The network. It runs in eval mode, whatever its own mode is.
        name: What figures and reports call it.
        preprocessing: Turns a PIL image into a tensor `(channel, y, x)`; a `Preprocessing`, or any callable.
        classes: Class names by index, if known.
        aliases: Short names of layers, each for a module path.
        layouts: How layers lay out what they return where it is not `(image, channel, y, x)`, by pattern as in `find`;
            the first that matches holds. What the shapes leave no doubt about need not be said.
        class_token: The layer `(image, token, channel)` through whose first token the network is read, as a path; empty
            if it is read in another way.
        notes: What every reader must know: `untrained`, `reparameterized`.
        weights: Where its weights come from.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        >>> model = Model(module=net, name="tiny", aliases={"features": "0"})
        >>> [layer.name for layer in model.find(["*", "!2"])]
        ['features', '1']
    """

    module: torch.nn.Module
    name: str = "model"
    preprocessing: Callable[[Image], torch.Tensor] = field(default_factory=Preprocessing)
    classes: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    class_token: str = ""
    notes: tuple[str, ...] = ()
    weights: WeightsInfo = field(default_factory=WeightsInfo)

    def __post_init__(self) -> None:
        positions = _positions(self.module)
        for alias, path in self.aliases.items():
            if path not in positions:
                hint = did_you_mean(path, positions, otherwise="an alias stands for a path of named_modules()")
                raise RecipeError(f"alias {alias!r} of model {self.name!r}: there is no layer {path!r}", hint=hint)
        if self.class_token and self.class_token not in positions:
            hint = did_you_mean(self.class_token, positions, otherwise="it is a path of named_modules()")
            raise RecipeError(f"class token of model {self.name!r}: there is no layer {self.class_token!r}", hint=hint)

    @property
    def alert(self) -> str:
        """What every picture of this model must say before anything else; empty if there is nothing."""
        return "RANDOM WEIGHTS: nothing here was learned." if "untrained" in self.notes else ""

    def find(self, patterns: Sequence[str]) -> tuple[Layer, ...]:
        """Return the layers that `patterns` name, in the order of the patterns, each once.

        A pattern is an alias, a path of `named_modules()`, or a glob over either: `*` stays within one part of a
        path, `**` spans any number of parts; of a layer that has an alias, a glob gives the alias. An alias of several
        parts (`stage1.pre`) is found by globs that spell its last part out, so that `stage1.*` are the modules in
        `stage1` alone. `!pattern` takes layers away again, under whatever name. `name#k` is the k-th call, from 1;
        `name#*` is every call on the way to the score, however many: none is no error.

        Raises:
            RecipeError: If a pattern matches nothing; it lists the nearest names.
        """
        positions = _positions(self.module)
        # An alias comes where its layer does, so that a glob gives layers in the order of the network.
        names = [*self.aliases, *(path for path in positions if path not in self.aliases)]
        names.sort(key=lambda name: positions[self.aliases.get(name, name)])
        chosen: list[Layer] = []
        for pattern in patterns:
            base, call = _split_call(pattern.removeprefix("!"))
            matches = [base] if base in names else [name for name in names if self._globbed(name, base)]
            if not matches:
                hint = did_you_mean(base, names, otherwise="`interpretkit layers` lists what it has")
                if "reparameterized" in self.notes:
                    hint += "; this model has been re-parameterised: branches are in the training-form weights only"
                raise RecipeError(f"model {self.name!r} has no layer {base!r}", hint=hint)
            found = [self._layer(name, call) for name in matches]
            if pattern.startswith("!"):
                unwanted = {layer.address for layer in found}
                chosen = [layer for layer in chosen if layer.address not in unwanted]
            elif base in names:
                chosen += found
            else:
                # A glob finds a layer that has an alias under both names: the alias is enough.
                taken = {layer.address for layer in chosen}
                first = {layer.address: layer for layer in reversed(found) if layer.address not in taken}
                chosen += [layer for layer in found if layer in first.values()]
        if not chosen:
            raise RecipeError(f"the patterns {', '.join(patterns)} leave no layer of model {self.name!r}")
        return tuple(dict.fromkeys(chosen))

    def layers(self, *patterns: str, size: tuple[int, int] | None = None) -> LayerTable:
        """List the layers that a forward pass of one image calls, in the order of execution.

        Args:
            *patterns: Restrict the list as in `find`.
            size: Height and width of the image in pixels; by default what the preprocessing makes, else 224 × 224.

        Raises:
            RecipeError: If a pattern matches nothing.
            StepError: If the network fails on an image of this size.
        """
        import torch

        from interpretkit.capture import probe

        like = next(self.module.parameters(), torch.zeros(()))
        shape = (1, _input_channels(self.module), *(size or self._input_size()))
        named = self._named(patterns)
        try:
            calls = probe(self.module, torch.zeros(shape, dtype=like.dtype, device=like.device))
        except Exception as error:
            cause = next(iter(str(error).strip().splitlines()), "")
            raise StepError(
                f"model {self.name!r} failed on an image {'×'.join(map(str, shape[1:]))}: "
                f"{type(error).__name__}: {cause}",
                hint="it may want another size: `--size HEIGHTxWIDTH`, or `layers(size=(height, width))`",
            ) from error
        aliased = {alias: self._first_path(path) for alias, path in self.aliases.items()}
        return LayerTable(row for call in calls for row in self._rows(call, named, aliased))

    def arranged(self, layer: Layer, values: torch.Tensor, *, inputs: torch.Tensor) -> torch.Tensor:
        """Return what `layer` gave for `inputs`, or its gradient, as a view `(image, channel, y, x)`.

        What is no map, or cannot be told to be one, is returned as it is.
        """
        path = layer.address.path
        declared = (layout for pattern, layout in self.layouts.items() if _matches(path, pattern))
        return arrange(values, network=self.module, path=path, inputs=inputs, declared=next(declared, None))

    def targets(self, spec: SingleSpec, output: Any, *, labels: Sequence[str | None]) -> tuple[Target, ...]:
        """Resolve a target for each image of a batch; `output` is what the network returned for it.

        Raises:
            InputError: If the model has no such class, or an image has no label.
            StepError: If the output is no logits, or they are not finite.
        """
        return resolve_targets(spec, self.logits(output), classes=self.classes, labels=labels)

    def class_token_norms(self, tokens: torch.Tensor) -> tuple[torch.Tensor, tuple[Target, ...]]:
        """Return the length of the class token `(image,)` and what it is as targets.

        Args:
            tokens: What the layer `class_token` returned, `(image, token, channel)`.

        Raises:
            StepError: If it returned something else.
        """
        if tokens.ndim != 3:  # noqa: PLR2004 - image, token, channel
            shape = "×".join(map(str, tokens.shape))
            raise StepError(f"layer {self.class_token} returns {shape}, not tokens (image, token, channel)")
        norms = tokens[:, 0].norm(dim=1)
        found = norms.detach().double().tolist()
        return norms, tuple(Target(index=-1, label="class token", score=norm, probability=math.nan) for norm in found)

    def score(self, output: Any, targets: Sequence[Target]) -> torch.Tensor:
        """Turn the network's output into one number per image, `(image,)`: what attribution differentiates.

        A single target holds for all images.

        Raises:
            StepError: If the output is no logits, or the target is the class token, which is not in the output.
        """
        if any(target.index < 0 for target in targets):
            raise StepError(
                "the class token is not in the output of the network",
                hint="a method that runs the network itself explains classes: predicted, an index, a name",
            )
        logits = self.logits(output)
        targets = tuple(targets) * len(logits) if len(targets) == 1 else targets
        rows = range(len(targets))
        score = logits[rows, [target.index for target in targets]]
        if targets[0].against is not None:
            score = score - logits[rows, [target.against for target in targets]]
        return score

    def scores(self, inputs: torch.Tensor, targets: Sequence[Target]) -> torch.Tensor:
        """Return the score of each of `inputs` `(image, channel, y, x)`, `(image,)`, without gradients.

        For visualizers with passes of their own. A single target holds for all images.

        Example:
            >>> import torch
            >>> model = Model(module=torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()))
            >>> model.scores(torch.ones(2, 3, 4, 4), [Target(index=1, label="1", score=1.0, probability=0.3)])
            tensor([1., 1.])
        """
        import torch

        from interpretkit.capture import left_as_found

        with left_as_found(self.module), torch.no_grad():
            return self.score(self.module(inputs.clone()), targets)

    def scores_with(self, image: torch.Tensor, target: Target, *, layer: str, variants: torch.Tensor) -> torch.Tensor:
        """Return the score of one image with what a layer returns replaced by each of `variants`, `(variant,)`.

        The layers before it run once for all variants where the network allows that: where, with the unchanged output
        among the variants, the score of that comes out as it was. Where it does not (a network that mixes images of
        a batch, or asks early for their number), the image goes through as often as there are variants.

        Args:
            image: `(1, channel, y, x)`.
            target: Whose score.
            layer: Name of the layer, as in `find`.
            variants: `(variant, channel, y, x)`, as visualizers get the layer's activations.

        Raises:
            StepError: If the layer returns no map of that shape.
        """
        import torch

        from interpretkit.capture import Substitution

        (found,) = self.find([layer])

        def replaced(values: torch.Tensor, *, rows: int) -> torch.Tensor:
            changed = values.expand(rows, *values.shape[1:]).clone()
            view = self.arranged(found, changed, inputs=image[:1].expand(rows, -1, -1, -1))
            if view.shape[1:] != variants.shape[1:]:
                shapes = ["×".join(map(str, each.shape[1:])) for each in (view, variants)]
                raise StepError(f"layer {layer} returns {shapes[0]}, which {shapes[1]} cannot replace")
            view[: len(variants)] = variants
            return changed

        def run(inputs: torch.Tensor, rows: int) -> torch.Tensor:
            substitution = Substitution(self.module, found.address, lambda values: replaced(values, rows=rows))
            return self.score(substitution.forward(inputs), [target])

        count = len(variants)
        try:
            scores = run(image, count + 1)
        except Exception:  # noqa: BLE001 - a network may notice in any way that the number of images has changed
            scores = torch.empty(0)
        expected = torch.full((1,), target.score, dtype=scores.dtype, device=scores.device)
        if len(scores) == count + 1 and torch.allclose(scores[-1:], expected, rtol=1e-3, atol=1e-5):
            return scores[:-1]
        return run(image.expand(count, -1, -1, -1), count)

    def gradients(
        self, inputs: torch.Tensor, targets: Sequence[Target], *, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Return the gradient of each input's score at what layers return, by layer, `(image, channel, y, x)`.

        For visualizers with passes of their own: one forward and one backward pass of `inputs`
        `(image, channel, y, x)`, however many layers. A single target holds for all images.

        Raises:
            StepError: If a layer cannot be recorded, or the score does not depend on it.

        Example:
            >>> import torch
            >>> net = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
            >>> target = Target(index=1, label="1", score=1.0, probability=0.5)
            >>> Model(module=net).gradients(torch.ones(1, 2, 1, 2), [target], layers=["0"])["0"].tolist()
            [[[[0.0, 0.0]], [[0.5, 0.5]]]]
        """
        from interpretkit.capture import Capture

        named = self.find(layers)
        with Capture(self.module, gradients=[layer.address for layer in named]) as capture:
            gradients = capture.backward(self.score(capture.forward(inputs), targets))
        found = [
            each
            for layer in named
            for each in layer.calls(capture.activations)
            if each is layer or each.address in gradients
        ]
        for layer in found:
            if layer.address in capture.refused:
                raise capture.refused[layer.address]
            if layer.address not in gradients:
                raise StepError(f"the score does not depend on layer {layer.name}")
        return {layer.name: self.arranged(layer, gradients[layer.address], inputs=inputs) for layer in found}

    def logits(self, output: Any) -> torch.Tensor:
        """Return what the network returned as logits `(image, class)`.

        Raises:
            StepError: If it is no such tensor.
        """
        shape = getattr(output, "shape", None)
        if shape is None or len(shape) != 2:  # noqa: PLR2004 - image and class
            what = f"of shape {tuple(shape)}" if shape is not None else f"a {type(output).__name__}"
            raise StepError(f"model {self.name!r} returns {what}, not logits (image, class)")
        return cast("torch.Tensor", output)

    def probabilities(self, output: Any) -> torch.Tensor:
        """Return the probabilities of the classes for what the network returned, `(image, class)` float64.

        The softmax of its logits; the output itself where that is a distribution already.

        Raises:
            StepError: If the output is no logits.
        """
        return probabilities_of(self.logits(output))

    def picture(self, tensor: torch.Tensor) -> np.ndarray:
        """Return one preprocessed image `(channel, y, x)` as a picture `(y, x, 3)` uint8.

        A preprocessing of the user's own cannot be undone: its values are stretched from least to greatest.
        """
        known = self.preprocessing
        if isinstance(known, Preprocessing) and len(known.std) == len(tensor):
            return known.picture(tensor)
        return stretched(tensor)

    def _globbed(self, name: str, pattern: str) -> bool:
        parent, _, last = name.rpartition(".")
        return _matches(name, pattern) and not (parent and name in self.aliases and pattern.rpartition(".")[2] != last)

    def _named(self, patterns: Sequence[str]) -> Mapping[Address, str] | None:
        """Return the names asked for, by what the probe calls the module: a shared one has several paths."""
        from interpretkit.capture import Address

        if not patterns:
            return None
        layers = self.find(patterns)
        return {Address(self._first_path(each.address.path), each.address.call): each.name for each in layers}

    def _first_path(self, path: str) -> str:
        wanted = self.module.get_submodule(path)
        return next(str(first) for first, module in self.module.named_modules() if module is wanted)

    def _rows(self, call: Call, named: Mapping[Address, str] | None, aliased: Mapping[str, str]) -> Iterator[LayerInfo]:
        from interpretkit.capture import EVERY, Address

        path, number = call.address.path, f"#{call.address.call}" if call.address.call else ""
        if named is None:
            aliases = [alias for alias, of in aliased.items() if of == path]
            names = [name + number for name in ([] if path in self.aliases else [path]) + aliases]
        elif call.address in named:
            names = [named[call.address]]
        else:
            whole = named.get(Address(path)) or named.get(Address(path, EVERY))
            names = [] if whole is None else [whole.removesuffix("#*") + number]
        for name in names:
            yield LayerInfo(
                name=name,
                path=str(call.address),
                kind=call.kind,
                shape=None if call.shape is None else call.shape[1:],
                stride=call.strides,
                receptive_field=call.extents,
                parameters=call.parameters,
                alias_of=str(call.address) if name.partition("#")[0] in self.aliases else "",
                grid=call.grid,
            )

    def _layer(self, name: str, call: int | None) -> Layer:
        from interpretkit.capture import EVERY, Address

        address = Address(self.aliases.get(name, name), call)
        return Layer(name if call is None else f"{name}#{'*' if call == EVERY else call}", address)

    def _input_size(self) -> tuple[int, int]:
        known = self.preprocessing
        if isinstance(known, Preprocessing):
            side = known.crop or known.resize or _USUAL_SIZE
            return (side, side)
        from PIL import Image

        try:
            shape = known(Image.new("RGB", (_USUAL_SIZE, _USUAL_SIZE))).shape
        except Exception as error:
            what = f"the preprocessing of model {self.name!r} failed on a black image: {type(error).__name__}: {error}"
            raise StepError(what, hint="or say the size: `--size`, or `layers(size=(height, width))`") from error
        return (shape[-2], shape[-1])


def _positions(module: torch.nn.Module) -> dict[str, int]:
    """Return where each layer comes in the network, by its path."""
    paths = (path for path, _ in module.named_modules(remove_duplicate=False) if path)
    return {path: position for position, path in enumerate(paths)}


def _split_call(pattern: str) -> tuple[str, int | None]:
    base, mark, call = pattern.partition("#")
    from interpretkit.capture import EVERY

    if not mark:
        return base, None
    if call == "*":
        return base, EVERY
    if not call.isdecimal() or int(call) == 0:
        raise RecipeError(f"layer {pattern!r}: after '#' comes the number of a call, from 1, or '*'")
    return base, int(call)


def _matches(name: str, pattern: str) -> bool:
    """Match part by part: `*` stays within one part of a path, `**` spans any number of parts."""
    return _match_parts(name.split("."), pattern.split("."))


def _match_parts(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_match_parts(parts[skip:], patterns[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _match_parts(parts[1:], patterns[1:])


def _input_channels(module: torch.nn.Module) -> int:
    """Guess the channels of the input from the first convolution; 3 without one."""
    import torch

    convolutions = (part for part in module.modules() if isinstance(part, torch.nn.Conv2d))
    first = next(convolutions, None)
    return 3 if first is None else first.in_channels
