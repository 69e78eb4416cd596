"""Models: a wrapped `nn.Module` with its preprocessing, its outputs, addressable layers, and passes of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from interpretkit.errors import Faults, InputError, InterpretkitError, RecipeError, StepError, cause, did_you_mean
from interpretkit.model.advice import advice
from interpretkit.model.baselines import Baseline, baseline_of
from interpretkit.model.batching import Batching, batching_of, mixes, still_training
from interpretkit.model.cuts import changes, no_gradient
from interpretkit.model.expected import channels_taken, declared_size, first_convolution, misfit, usual_size
from interpretkit.model.layers import Layer, LayerNames, layer_positions, matches
from interpretkit.model.layertable import LayerTable
from interpretkit.model.layout import Arranged, Layout, arrange
from interpretkit.model.order import misread
from interpretkit.model.outputs.classes import Classes
from interpretkit.model.outputs.columns import Chosen, Grammar
from interpretkit.model.outputs.grammar import parse, parse_single
from interpretkit.model.outputs.names import WORDS, MisnamedError
from interpretkit.model.outputs.output import for_each
from interpretkit.model.outputs.parts import check_rows
from interpretkit.model.outputs.settling import LOGITS, settle
from interpretkit.model.outputs.wanted import Each, Held, Wanted, among_others, targets_of
from interpretkit.model.preprocessing import (
    Composed,
    Preprocessing,
    Processed,
    as_image,
    is_composed,
    is_processor,
    stretched,
)
from interpretkit.model.spacing import Spacings
from interpretkit.model.tokens import look
from interpretkit.model.variants import gradients_at, scores_with
from interpretkit.results.axes import CHANNEL, IMAGE, TOKEN, of_inputs
from interpretkit.results.origin import UNTRAINED, WeightsInfo
from interpretkit.words import shape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import torch

    from interpretkit.capture.addresses import Address, Call
    from interpretkit.capture.ending import Ending
    from interpretkit.capture.receptive import Place
    from interpretkit.model.outputs.grammar import SingleTarget, TargetSpec
    from interpretkit.model.outputs.output import Output, Prediction
    from interpretkit.results.image import InputImage
    from interpretkit.results.targets import Target, TargetData

_BLACK = (224, 224)
_KINDS = {1: "a signal", 2: "an image", 3: "a volume"}
_SIZES = {
    1: "`--size LENGTH`, or `layers(size=(length,))`",
    2: "`--size HEIGHTxWIDTH`, or `layers(size=(height, width))`",
    3: "`--size DEPTHxHEIGHTxWIDTH`, or `layers(size=(depth, height, width))`",
}
"""What is fed, and how its size is given, by the number of its axes."""
CLASS_TOKEN = "class_token"
"""The name of the output that is the class token of a transformer, and of its target."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Model:
    """A network that can be looked into.

    What is said here of images `(image, channel, y, x)` holds for signals `(image, channel, x)` and for volumes
    `(image, channel, z, y, x)` too.

    Attributes:
        module: The network. It runs in eval mode, whatever its own mode is.
        name: What figures and reports call it.
        preprocessing: Turns a PIL image into a tensor `(channel, y, x)`; a `Preprocessing`, a processor of
            transformers, or any callable, which may make a signal `(channel, x)` or a volume `(channel, z, y, x)` too.
            Images of other than 8 bits come to a callable as they are stored, unless it is an `EightBit`.
        outputs: How the network's outputs are read, by name; targets are those of the first, unless they name another.
        aliases: Short names of layers, each for a module path.
        layouts: The layouts of layers that do not return `(image, channel, y, x)`, by pattern as in `find`; the first
            pattern that matches holds. A layout need not be given where the shapes leave no doubt.
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
    preprocessing: Callable[[Any], torch.Tensor] = field(default_factory=Preprocessing)
    outputs: Mapping[str, Output] = field(default_factory=lambda: {"classes": Classes()})
    aliases: Mapping[str, str] = field(default_factory=dict)
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    weights: WeightsInfo = field(default_factory=WeightsInfo)
    _kept: dict[str, Any] = field(default_factory=dict, init=False, compare=False)

    def __repr__(self) -> str:
        kind = type(self.module).__name__
        parameters = sum(parameter.numel() for parameter in self.module.parameters())
        notes = f"; {', '.join(self.notes)}" if self.notes else ""
        return f"Model({self.name}: {kind}, {parameters:,} parameters; {self.weights}{notes})"

    def __post_init__(self) -> None:
        object.__setattr__(self, "module", _plain(self.module))
        if is_processor(self.preprocessing):
            object.__setattr__(self, "preprocessing", Processed(self.preprocessing))
        if is_composed(self.preprocessing):
            object.__setattr__(self, "preprocessing", Composed(self.preprocessing))
        positions = layer_positions(self.module)
        for alias, path in self.aliases.items():
            if path not in positions:
                hint = did_you_mean(path, positions, otherwise="an alias stands for a path of named_modules()")
                raise RecipeError(f"alias {alias!r} of model {self.name!r}: there is no layer {path!r}", hint=hint)
        for name, output in self.outputs.items():
            if output.layer and output.layer not in positions:
                what = f"output {name!r} of model {self.name!r}: there is no layer {output.layer!r}"
                hint = did_you_mean(output.layer, positions, otherwise="it is a path of named_modules()")
                raise RecipeError(what, hint=hint)

    @property
    def output(self) -> Output:
        """The output whose targets are meant, unless they name another output."""
        return next(iter(self.outputs.values()))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by index; empty where they are not known, or the output has no classes."""
        return tuple(getattr(self.output, "names", ()))

    def named(self, names: Sequence[str]) -> Model:
        """Return this model with names of its classes, by index.

        They are those of its first output, and of others that are known to have the same classes.

        Raises:
            RecipeError: If it has no classes, or is known to have another number of them.

        Example:
            >>> import torch
            >>> Model(module=torch.nn.Identity()).named(["covid", "normal"]).classes
            ('covid', 'normal')
        """
        known = self.classes
        outputs = dict(self.outputs)
        for name, output in outputs.items():
            same = bool(known) and getattr(output, "names", ()) == known
            if output is self.output or same:
                outputs[name] = output.named(names)
        return replace(self, outputs=outputs)

    def of(self, module: torch.nn.Module, *, name: str) -> Model:
        """Return this model with another network in its place, of the same layers; what passes have shown holds for it.

        Args:
            module: The network.
            name: What figures and reports call it.
        """
        model = replace(self, module=module, name=name)
        kept = dict(self._kept)
        if "settled" in kept:
            kept["settled"] = model
        object.__setattr__(model, "_kept", kept)
        return model

    @property
    def alert(self) -> str:
        """What every picture of this model must say before anything else; empty if there is nothing."""
        return UNTRAINED if "untrained" in self.notes else self.weights.alert

    @property
    def outputs_in_words(self) -> dict[str, str]:
        """What each output is, by name."""
        return {name: output.words for name, output in self.outputs.items()}

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
        for pattern in patterns:
            # What is frozen shows no layers at all.
            self._check_hooks(pattern, so=f"there is no layer {pattern}")
        found = self._names.find(patterns)
        for layer in found:
            self._check_hooks(layer.address.path, so=f"there is no layer {layer.name}")
        return found

    def _check_hooks(self, path: str, *, so: str) -> None:
        """Refuse a layer that is TorchScript, or lies in it; of the empty path the whole network."""
        from interpretkit.capture.networks import script_around

        script = script_around(self.module, path)
        if script is not None:
            whole = f"layer {script}" if script else f"model {self.name!r}"
            raise RecipeError(
                f"{whole} is TorchScript, which cannot be looked into, so {so}",
                hint="give the nn.Module that it was made of; methods at the input take it: saliency, occlusion",
            )

    def layers(self, *patterns: str, size: tuple[int, ...] | None = None) -> LayerTable:
        """List the layers that a forward pass of one image calls, in the order of execution.

        Args:
            *patterns: Restrict the list as in `find`.
            size: Height and width of the image in pixels, `(x,)` of a signal, `(z, y, x)` of a volume; by default what
                a preprocessing of its own makes, what the network declares (`img_size` or `image_size`, its own or of
                its `config`), else 224 × 224; of signals 1024, of volumes 64 × 64 × 64.

        Raises:
            RecipeError: If a pattern matches nothing, or the network is TorchScript.
            StepError: If the network fails on an image of this size.
        """
        self._check_hooks("", so="it has no layers")
        names = self._names
        asked = names.asked(patterns) if patterns else None
        return LayerTable(names.rows(self._calls(size or self._input_size()), asked))

    def _calls(self, size: tuple[int, ...]) -> list[Call]:
        """Return the calls of a pass of one image of this size, of as many channels as the network takes."""
        import torch

        from interpretkit.capture.probe import probe

        failures = []
        for channels in channels_taken(self.module):
            lengths = (channels, *size)
            try:
                return probe(self.module, self.fed(torch.zeros((1, *lengths))))
            except Exception as error:  # noqa: BLE001 - a user's network may raise anything
                failures.append((lengths, error))
        lengths, first = failures[0]
        kind, other = _KINDS.get(len(size), "an input"), _SIZES.get(len(size), _SIZES[2])
        what = f"model {self.name!r} failed on {kind} {shape(lengths)}: {cause(first)}"
        raise StepError(what, hint=misfit(self.module, len(size)) or f"it may want another size: {other}") from first

    def size_of(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size of an input along each of its axes; one length stands for all of them.

        Example:
            >>> import torch
            >>> Model(module=torch.nn.Conv3d(1, 2, 3)).size_of((16,))
            (16, 16, 16)
        """
        axes = len(usual_size(self.module))
        return lengths * axes if len(lengths) == 1 else lengths

    def arranged(self, layer: Layer, values: torch.Tensor, *, inputs: torch.Tensor) -> Arranged:
        """Return what `layer` gave for `inputs`, or its gradient, as a view with its axes named.

        Maps are arranged to `(image, channel, y, x)`, the axes of `inputs`. Values that are no map, or may be none,
        stay as they are.
        """
        size, path = tuple(inputs.shape[1:]), layer.address.path
        places = self.spacings.places(layer.address, size)
        declared = self._declared(path)
        if declared is None or not declared.fits(values, size[1:]):
            probed = self.spacings.tokens(size).get(layer.address, declared)
            if len(values) == len(inputs) and self._tokens_come_first(layer.address, places):
                raise _before_images(layer, values)
            if probed is None and layer.address in self.spacings.tokens(size):
                return Arranged(values, (IMAGE, TOKEN, CHANNEL))
            declared = probed
        return arrange(values, network=self.module, path=path, inputs=inputs, declared=declared, places=places)

    def _declared(self, path: str) -> Layout | None:
        """Return what the model's author says of the layout of a layer."""
        declared = (layout for pattern, layout in self.layouts.items() if matches(path, pattern))
        return next(declared, None)

    def _tokens_come_first(self, layer: Address, places: Sequence[Place]) -> bool:
        return layer in self._tokens_first or any(place.dim == 0 for place in places)

    @property
    def _tokens_first(self) -> set[Address]:
        """The layers that have shown to return tokens before images."""
        kept: set[Address] = self._kept.setdefault("tokens_first", set())
        return kept

    def misread(self, inputs: torch.Tensor) -> StepError | None:
        """Return why maps of `inputs` would be of other axes than they seem; None where channels come second."""
        kept: dict[tuple[int, ...], StepError | None] = self._kept.setdefault("misread", {})
        size = tuple(inputs.shape[1:])
        if size not in kept:
            kept[size] = misread(self.module, inputs)
        return kept[size]

    def probe_tokens(self, activations: Mapping[Address, torch.Tensor], inputs: torch.Tensor) -> None:
        """Find out how the tokens lie that some layers have given for `inputs`, where following has not shown it.

        That costs no pass where nothing is in doubt, else one for the rows, and a few for the order of the tokens.
        """
        doubtful = {}
        for layer, values in activations.items():
            if self._in_doubt(layer, values, inputs):
                doubtful[layer] = values.shape[1], self._declared(layer.path)
        layouts, first = look(self.module, inputs, doubtful)
        self._tokens_first.update(first)
        self.spacings.keep_tokens(tuple(inputs.shape[1:]), layouts)

    def _in_doubt(self, layer: Address, values: torch.Tensor, inputs: torch.Tensor) -> bool:
        """Return whether a layer has given what may be tokens, of which nothing that is known says how they lie."""
        size = tuple(inputs.shape[1:])
        declared = self._declared(layer.path)
        if values.ndim != len((IMAGE, TOKEN, CHANNEL)) or len(values) != len(inputs):
            return False
        said = declared is not None and declared.fits(values, size[1:])
        return not said and not self.spacings.places(layer, size)

    def wanted(self, target: TargetSpec | TargetData) -> tuple[Wanted, ...]:
        """Return the targets that one target stands for, each one score of an image; only `Top` stands for several.

        Raises:
            InputError: If the model has no such output.

        Example:
            >>> import torch
            >>> model = Model(module=torch.nn.Identity())
            >>> model.wanted("predicted") == model.wanted({"top": 1}), model.wanted(3)
            (True, (Wanted(of='classes', spec=3),))
        """
        parsed = parse.validate_python(target)
        if isinstance(parsed, list):
            return (self._each(parsed),)
        name, spec = self._addressed(parsed)
        singles = self.reading(name).single(spec)
        return tuple(Wanted(name, single) for single in singles)

    def held(self, target: Target) -> Wanted:
        """Return a target that came out for an image, to be asked for again of variants of that image."""
        return Wanted(self._named(target), Held((target,)))

    def check(self, wanted: Wanted) -> None:
        """Check a target before any pass.

        Raises:
            InputError: If there is no such target.
        """
        output = self.reading(wanted.of)
        faults = Faults()
        for spec in wanted.spec.specs if isinstance(wanted.spec, Each) else (wanted.spec,):
            with faults.collect():
                output.check(spec)
        faults.tell()

    def _each(self, targets: Sequence[SingleTarget]) -> Wanted:
        """Return the only target that stands for one of each image."""
        singles = [single for target in targets for single in self.wanted(target)]
        names = {single.of for single in singles}
        if not targets:
            raise InputError("a list of targets has one for each image, and this one is empty")
        if len(singles) > len(targets) or len(names) > 1:
            what = "a list of targets has one for each image, all of one output, and none that stands for several"
            raise InputError(what, hint="give {top: …} by itself, for all images")
        return Wanted(singles[0].of, Each(tuple(single.spec for single in singles)))

    def reading(self, name: str) -> Output:
        """Return the output of a name.

        Before a pass nobody knows whether there are `logits` before a softmax or sigmoid of the network's own; the
        first output stands for them meanwhile.

        Raises:
            StepError: If a pass has shown that there are no such logits.
        """
        if name in self.outputs:
            return self.outputs[name]
        if self._kept.get("settled") is self:
            raise StepError(
                f"model {self.name!r} has no {name} before what it returns: it ends in no softmax or sigmoid that is "
                "given what a layer returns",
                hint=f"leave 'of: {name}' out, or name the layer: wrap(…, output=Classes(layer=…))",
            )
        return self.output

    @property
    def open(self) -> bool:
        """Whether a pass has still to show what some outputs are."""
        return self.settled is None and any(output.open for output in self.outputs.values())

    @property
    def settled(self) -> Model | None:
        """The model as the first pass has shown it; None before, and where nothing was left open."""
        settled: Model | None = self._kept.get("settled")
        return settled

    def settle(self, inputs: torch.Tensor, returned: Any, ending_of: Callable[[Any], Ending]) -> Model:
        """Return the model with the outputs that were left open, as a pass shows them; it is kept.

        A pass that returns other rows than the images shows nothing: a single image may have lost its axis.

        Where the network ends in a softmax or sigmoid that is given what a layer returns, that becomes the output
        `logits`.

        Args:
            inputs: What the network was fed, `(image, channel, y, x)`.
            returned: What it returned.
            ending_of: Tells what a part of that was made by.
        """
        images, axes = len(inputs), inputs.ndim - len((IMAGE, CHANNEL))
        outputs = settle(self.outputs, returned, ending_of, images=images, axes=axes)
        if outputs is None:
            return self
        model = replace(self, outputs=outputs)
        self._kept["settled"] = model
        # What passes show is of the network, however its outputs are read.
        object.__setattr__(model, "_kept", self._kept)
        return model

    def output_of(self, target: Target) -> Output:
        """Return the output that a target belongs to."""
        return self.reading(self._named(target))

    def _named(self, target: Target) -> str:
        """Return the name of the output that a target belongs to."""
        name, _ = self._addressed(parse_single.validate_python(target.spec))
        return name

    def targets(self, wanted: Wanted, values: Any, images: Sequence[InputImage]) -> tuple[Target, ...]:
        """Resolve a target for each image of a batch.

        Args:
            wanted: What is asked for.
            values: What the network returned, or, of an output that is read at a layer, what the layer returned.
            images: The images, `(image,)`.

        Raises:
            InputError: If there is no such target, or an image has no label.
            StepError: If the values are not what the output reads, or not finite.
        """
        output = self.reading(wanted.of)
        targets = targets_of(output, wanted.spec, output.read(values), images)
        if output is self.output or isinstance(wanted.spec, Held):
            return targets
        return tuple(replace(target, spec=among_others(wanted.of, target.spec)) for target in targets)

    def raw_scores(
        self, inputs: torch.Tensor, targets: Sequence[Target], *, module: torch.nn.Module | None = None
    ) -> torch.Tensor:
        """Return the score of each of `inputs` `(image, channel, y, x)`, `(image,)`: what attribution differentiates.

        The network runs as it is, in its own mode, with gradients if torch takes them. A single target holds for all
        images.

        Args:
            inputs: Images as the network is fed.
            targets: What is scored.
            module: A network to run in place of the model's own, such as a changed copy of it.

        Raises:
            StepError: If the network does not return what the targets are of.

        Example:
            >>> import torch
            >>> model = Model(module=torch.nn.Flatten())
            >>> from interpretkit import Target
            >>> model.raw_scores(torch.tensor([[[[3.0, 4.0]]]]), [Target(spec=1, label="1", score=4.0)])
            tensor([4.])
        """
        import torch

        output = self.output_of(targets[0])
        if self._apart and len(inputs) > 1:
            each = zip(torch.split(inputs, 1), for_each(targets, len(inputs)), strict=True)
            return torch.cat([self.raw_scores(image, [target], module=module) for image, target in each])
        scores = output.score(self._values(output, inputs, module), targets)
        if torch.is_grad_enabled() and inputs.requires_grad and not scores.requires_grad:
            raise no_gradient("the input", depends=self.depends(targets, inputs.detach()))
        return scores

    def spacing(self, layer: Layer, values: torch.Tensor, *, inputs: torch.Tensor) -> dict[str, tuple[float, float]]:
        """Return where the cells of a layer lie on the input, by axis: the middle of the first in pixels, and the step.

        As the first pass of inputs of a size has shown. An axis along which they tile the input evenly is left out, and
        one along which it is not known.

        Args:
            layer: The layer.
            values: What it gave for `inputs`, arranged as `(image, channel, y, x)`.
            inputs: What the network was fed, `(image, channel, y, x)`.
        """
        cells = dict(zip(of_inputs(inputs.ndim), values.shape, strict=True))
        return self.spacings.of(layer.address, tuple(inputs.shape[1:]), cells)

    @property
    def spacings(self) -> Spacings:
        """Where the cells of layers lie, as far as passes have shown it."""
        kept: Spacings = self._kept.setdefault("spacings", Spacings())
        return kept

    @property
    def _apart(self) -> bool:
        """Whether a pass has shown that images must go alone."""
        kept: Batching = self._kept.get("batching", Batching())
        return kept.apart

    @property
    def mixes(self) -> bool:
        """Whether each image must go alone, since the network normalises over the images of a batch in eval mode."""
        from interpretkit.capture.capture import left_as_found

        with left_as_found(self.module):
            return mixes(self.module)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of any result must know of how the network runs, as far as it is known."""
        from interpretkit.capture.capture import left_as_found

        if "training" not in self._kept:
            with left_as_found(self.module):
                self._kept["training"] = still_training(self.module)
        batching: Batching = self._kept.get("batching", Batching())
        return tuple(filter(None, (self._kept["training"], batching.alert, batching.state)))

    def batching(self, inputs: torch.Tensor) -> Batching:
        """Return how images may go through the network, which some passes of the first of `inputs` show; it is kept."""
        from interpretkit.capture.capture import left_as_found

        if "batching" not in self._kept:
            with left_as_found(self.module):
                self._kept["batching"] = batching_of(self._numbers, self.fed(inputs[:1]))
        kept: Batching = self._kept["batching"]
        return kept

    def _numbers(self, inputs: torch.Tensor) -> Any:
        """Return the numbers of each image that its first output reads; nothing where it cannot be read."""
        try:
            return self._values(self.output, inputs)
        except StepError:
            return None

    def depends(self, targets: Sequence[Target], inputs: torch.Tensor, *, layer: Layer | None = None) -> bool:
        """Return whether the score of targets changes with `inputs`, or with what a layer returns for them.

        For errors: a score without a gradient may depend all the same, where a network cuts its gradients.
        """
        from interpretkit.capture.capture import Capture, Substitution, left_as_found
        from interpretkit.capture.reading import read_at

        output = self.output_of(targets[0])
        with left_as_found(self.module), read_at(self.module, output.layer) as read:
            if layer is None:
                return changes(lambda values: output.score(self._values(output, values), targets), inputs)
            with Capture(self.module, activations=[layer.address]) as capture:
                capture.forward(inputs)

            def score(values: torch.Tensor) -> torch.Tensor:
                returned = Substitution(self.module, layer.address, lambda _: values.clone()).forward(inputs)
                return output.score(output.read(read(returned)), targets)

            return changes(score, capture.activations[layer.address])

    def fed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return images as the network takes them: on its device, and in the dtype of its first convolution.

        Without one the dtype is that of its first parameter of floating-point numbers; without any, it stays.
        """
        parameters = list(self.module.parameters())
        first = first_convolution(self.module)
        # Not by the attribute `weight`, which a parametrization computes, and may change its buffers for.
        of_first = [] if first is None else list(first.parameters(recurse=True))
        dtypes = [each.dtype for each in (*of_first, *parameters) if each.is_floating_point()]
        device = parameters[0].device if parameters else inputs.device
        return inputs.to(device, dtypes[0] if dtypes else inputs.dtype)

    def read(self, of: str, inputs: torch.Tensor) -> Any:
        """Return what an output reads of a pass of `inputs` `(image, channel, y, x)`, without gradients.

        Args:
            of: The name of the output.
            inputs: Images as the network is fed, on any device.
        """
        import torch

        from interpretkit.capture.capture import left_as_found

        with left_as_found(self.module), torch.no_grad():
            return self._values(self.reading(of), self.fed(inputs))

    def _values(self, output: Output, inputs: torch.Tensor, module: torch.nn.Module | None = None) -> Any:
        """Return what an output reads of a pass of `inputs`."""
        from interpretkit.capture.networks import run
        from interpretkit.capture.reading import read_at

        network = self.module if module is None else module
        with read_at(network, output.layer) as read:
            try:
                returned = run(network, inputs)
            except InterpretkitError:
                raise
            except Exception as error:
                what = f"model {self.name!r} failed on images {shape(inputs.shape)}: {cause(error)}"
                raise StepError(what, hint=misfit(network, inputs.ndim - 2) or advice(error)) from error
            return output.read(read(returned))

    def gives(self, image: torch.Tensor, target: Target, *, tolerance: float) -> bool:
        """Return whether an image `(channel, y, x)` has the score that a target says: other models give other scores.

        Args:
            image: As the network is fed.
            target: The target, with its score.
            tolerance: How far scores of one image may differ between passes, as a part of the greatest value returned.
        """
        import torch

        output = self.output_of(target)
        with torch.no_grad():
            values = self._values(output, image[None])
        # Of a pass in another batch the last digits differ, more of them in half precision.
        tolerance = max(tolerance, 4 * torch.finfo(values.dtype).eps)
        return output.gives(values, target, tolerance=tolerance)

    def probability(self, inputs: torch.Tensor, target: Target) -> torch.Tensor | None:
        """Return the probability of a target for each of `inputs` `(image, channel, y, x)`, `(image,)` float64.

        None where the target has no probability. For visualizers with passes of their own.
        """
        import torch

        output = self.output_of(target)
        with torch.no_grad():
            parts = torch.split(inputs, 1) if self._apart else [inputs]
            found = [output.probability(self._values(output, part), [target]) for part in parts]
            known = [each for each in found if each is not None]
            return torch.cat(known) if known else None

    def predictions(self, returned: Any, *, images: int) -> tuple[tuple[Prediction, ...], ...]:
        """Return for each of so many images what the network finds in it; nothing where its output cannot be read.

        Raises:
            MisnamedError: If there are more or fewer classes than names.
        """
        try:
            values = self.output.read(returned)
            check_rows(values, images=images)
            return self.output.summary(values)
        except MisnamedError:
            raise
        except StepError:
            return ()

    def scores(self, inputs: torch.Tensor, targets: Sequence[Target]) -> torch.Tensor:
        """Return the score of each of `inputs` `(image, channel, y, x)`, `(image,)`, without gradients.

        For visualizers with passes of their own. A single target holds for all images.

        Example:
            >>> import torch
            >>> model = Model(module=torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()))
            >>> from interpretkit import Target
            >>> model.scores(torch.ones(2, 3, 4, 4), [Target(spec=1, label="1", score=1.0)])
            tensor([1., 1.])
        """
        import torch

        from interpretkit.capture.capture import left_as_found

        with left_as_found(self.module), torch.no_grad():
            return self.raw_scores(inputs, targets)

    def scores_with(self, image: torch.Tensor, target: Target, *, layer: str, variants: torch.Tensor) -> torch.Tensor:
        """Return the scores of one image, `(variant,)`: the output of a layer is replaced by each of `variants`.

        The layers before it run once for all variants where the network allows that. To find out, the unchanged output
        is put among the variants, and its score must come out as it was. Where it does not (a network that mixes
        images of a batch, or asks early for their number), the image goes through as often as there are variants.

        Args:
            image: `(1, channel, y, x)`.
            target: The target whose score is returned.
            layer: Name of the layer, as in `find`.
            variants: `(variant, channel, y, x)`, as visualizers get the layer's activations.

        Raises:
            StepError: If the layer returns no map of that shape.
        """
        from interpretkit.capture.reading import read_at

        (asked,) = self.find([layer])
        output = self.output_of(target)
        with read_at(self.module, output.layer) as read:
            return scores_with(
                self.module,
                image,
                layer=asked,
                variants=variants,
                expected=target.score,
                arrange=self.arranged,
                score=lambda returned: output.score(output.read(read(returned)), [target]),
                apart=self._apart,
            )

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
            >>> from interpretkit import Target
            >>> target = Target(spec=1, label="1", score=1.0)
            >>> Model(module=net).gradients(torch.ones(1, 2, 1, 2), [target], layers=["0"])["0"].tolist()
            [[[[0.0, 0.0]], [[0.5, 0.5]]]]
        """
        import torch

        from interpretkit.capture.reading import read_at

        output = self.output_of(targets[0])
        if self._apart and len(inputs) > 1:
            each = zip(torch.split(inputs, 1), for_each(targets, len(inputs)), strict=True)
            found = [self.gradients(image, [target], layers=layers) for image, target in each]
            return {layer: torch.cat([one[layer] for one in found]) for layer in found[0]}
        with read_at(self.module, output.layer) as read:
            return gradients_at(
                self.module,
                inputs,
                layers=self.find(layers),
                arrange=self.arranged,
                score=lambda returned: output.score(output.read(read(returned)), targets),
                depends=lambda layer: self.depends(targets, inputs, layer=layer),
            )

    def picture(self, tensor: torch.Tensor) -> np.ndarray:
        """Return one preprocessed image `(channel, y, x)` as a picture `(y, x, 3)` uint8.

        A volume is a picture `(z, y, x, 3)`, a signal a strip of equal rows. A preprocessing of the user's own cannot
        be undone: its values are stretched from least to greatest.
        """
        shown = as_image(tensor)
        known = self.preprocessing
        if isinstance(known, Processed):
            known = known.undone or known
        if isinstance(known, Preprocessing) and len(known.std) == len(shown):
            return known.picture(shown)
        return stretched(shown)

    def baseline(self, image: torch.Tensor, name: Baseline, *, blur: float = 0.05) -> torch.Tensor:
        """Return a baseline for a preprocessed image `(1, channel, y, x)`: what it is compared with, or filled up with.

        Args:
            image: As the network is fed.
            name: `zero` (of the network's input: the mean colour of the training images where the preprocessing
                subtracts that), `black` (what the preprocessing makes of it), `image_mean` (the image's mean in each
                channel), or `blurred` (the image under a Gaussian).
            blur: Standard deviation of the Gaussian, as a part of the shortest side.

        Returns:
            A tensor of the image's shape.

        Raises:
            StepError: If `black` is asked for, and the preprocessing makes no image that fits the network's input.

        Example:
            >>> import torch
            >>> model = Model(module=torch.nn.Identity(), preprocessing=Preprocessing(mean=(0.5,), std=(0.25,)))
            >>> model.baseline(torch.ones(1, 1, 1, 2), "black").tolist()
            [[[[-2.0, -2.0]]]]
        """
        return baseline_of(image, name, preprocessing=self.preprocessing, blur=blur)

    def _addressed(self, target: SingleTarget) -> tuple[str, Any]:
        """Return the name of the output that a target belongs to, and the target without that name."""
        first = next(iter(self.outputs))
        if isinstance(target, str) and target in self.outputs and target != first:
            return target, None
        if target == CLASS_TOKEN:
            what = f"model {self.name!r} is not read through a class token"
            raise InputError(what, hint="give a class, or predicted", subject=CLASS_TOKEN)
        if not isinstance(target, Grammar) or target.of is None:
            self._check_others(target)
            return first, target.class_ if type(target) is Chosen else target
        name = target.of
        if name not in self.outputs and not (name == LOGITS and self._may_have_logits):
            hint = did_you_mean(name, self.outputs, otherwise=f"it has {', '.join(self.outputs)}")
            raise InputError(f"model {self.name!r} has no output {name!r}", hint=hint, subject=name)
        if type(target) is Chosen:
            return name, target.class_
        return name, target.model_copy(update={"of": None})

    def _check_others(self, target: SingleTarget) -> None:
        """Refuse a name that another output has, and not the first, of which it would be taken."""
        given = dict(target) if isinstance(target, Grammar) else {"class_": target}
        own, *others = self.outputs.items()
        for key, name in given.items():
            if not isinstance(name, str) or key in ("of", "in_", "like") or name in WORDS or _names_it(own[1], name):
                continue
            for other, output in others:
                if _names_it(output, name):
                    written = {each.strip("_"): value for each, value in given.items() if value is not None}
                    said = ", ".join(f"{each}: {value}" for each, value in written.items())
                    what = f"{name!r} is a class of the output {other!r}, and the first output is {own[0]!r}"
                    raise InputError(what, hint=f"say which: {{of: {other}, {said}}}", subject=name)

    @property
    def _may_have_logits(self) -> bool:
        return any(output.open for output in self.outputs.values())

    @property
    def _names(self) -> LayerNames:
        lost = "this model has been re-parameterised: branches are in the training-form weights only"
        note = lost if "reparameterized" in self.notes else ""
        return LayerNames(self.module, self.aliases, model=self.name, note=note)

    def _input_size(self) -> tuple[int, ...]:
        preprocessing = self.preprocessing
        declared = declared_size(self.module) if preprocessing == Preprocessing() else ()
        if declared:
            return self.size_of(declared)
        usual = usual_size(self.module)
        if isinstance(preprocessing, Preprocessing):
            # It makes images, so a network of signals or volumes is not fed by it.
            of_images = (preprocessing.crop or preprocessing.resize) if len(usual) == len(("y", "x")) else None
            lengths = of_images or usual
            return (lengths, lengths) if isinstance(lengths, int) else lengths
        from PIL import Image

        black = Image.new("RGB", _BLACK)
        try:
            return tuple(preprocessing(black).shape[1:])
        except Exception as error:
            what = f"the preprocessing of model {self.name!r} failed on a black image: {type(error).__name__}: {error}"
            raise StepError(what, hint="or say the size: `--size`, or `layers(size=(height, width))`") from error


def _before_images(layer: Layer, values: torch.Tensor) -> StepError:
    what = f"layer {layer.name} returns {shape(values.shape)}, tokens before images: (token, image, channel)"
    hint = "let it return (image, token, channel), as batch_first=True does; methods at the input take it as it is"
    return StepError(what, hint=f"{hint}: saliency, occlusion")


def _names_it(output: Output, name: str) -> bool:
    """Whether an output has a class of this name, in upper or lower case."""
    return name.casefold() in (each.casefold() for each in getattr(output, "names", ()))


def _plain(module: torch.nn.Module) -> torch.nn.Module:
    from interpretkit.capture.networks import plain

    return plain(module)
