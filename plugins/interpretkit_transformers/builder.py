"""The builder that recipes name as `transformers`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from interpretkit import (
    Headed,
    Model,
    ModelBuilder,
    Pixels,
    PluginError,
    RecipeError,
    Vector,
    WeightsError,
    did_you_mean,
    load_state,
    without_prefix,
)
from interpretkit_transformers.layers import aliases_of, layouts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch

    from interpretkit import Output

Task = Literal["classification", "segmentation", "vision"]

_IMAGENET_CLASSES = 1000
_TASKS: dict[str, Task] = {"ForImageClassification": "classification", "ForSemanticSegmentation": "segmentation"}
_TOWERS = {"clip": "CLIPVisionModelWithProjection", "clip_vision_model": "CLIPVisionModelWithProjection"}
"""What reads images in a network of images and texts."""


class TransformersBuilder(ModelBuilder):
    """Networks of transformers for images (`pip install interpretkit[transformers]`): classes, pixels, embeddings.

    `name` is a repository of the hub, or a folder that `save_pretrained` wrote: its configuration, and its processor
    as the preprocessing. `architecture` is a type of transformers, such as vit or segformer, with the values of
    `config` over its own. No code of a repository is run. `stage1`, `stage2`, … are the ends of the stages (of the
    layers, in a Vision Transformer), `last_conv` is the layer for Grad-CAM.
    """

    name = "transformers"
    citations = {"wolf2020transformers": ""}

    class Options(Headed, ModelBuilder.Options):
        """Which network."""

        name: str | None = None
        """A repository of the hub, or a folder: google/vit-base-patch16-224."""

        revision: str = "main"
        """Branch, tag or commit of the repository."""

        architecture: str | None = None
        """A type of transformers in place of a name: vit, swin, convnext, segformer, clip_vision_model."""

        config: dict[str, Any] = Field(default={})
        """Values of the configuration, over those that it has."""

        task: Literal["classification", "segmentation", "vision"] | None = None
        """What the network is for; by default what its configuration says, else classification. `vision` are embeddings
        of images: of CLIP the projected one."""

        num_classes: int | None = Field(default=None, ge=1)
        """Number of classes; by default those of the configuration, with their names."""

    options: Options

    def build(self, state: Mapping[str, torch.Tensor] | None) -> Model:
        """Build the model in eval mode and load `state` into it; without one its weights stay as initialised.

        Raises:
            PluginError: If transformers is not installed.
            RecipeError: If there is no such architecture, or the options do not fit.
            WeightsError: If the configuration cannot be had, or `state` does not fit.
        """
        transformers = _transformers()
        with _quiet(transformers):
            config = self._config(transformers)
            task = self.options.task or _task_of(config)
            maker = _maker(transformers, config, task)
            network = _untrained(maker, config) if state is None else _loaded(maker, config, state, task)
            processor = self._processor(transformers, config)
        network = network.eval()
        return Model(
            module=network,
            name=self.options.name or str(self.options.architecture),
            preprocessing=processor,
            outputs={"classes" if task == "classification" else task: self._output(config, task)},
            aliases=aliases_of(network, config),
            layouts=layouts_of(network, config),
        )

    def _config(self, transformers: Any) -> Any:
        """Return the configuration of a name or of an architecture."""
        name, architecture, values = self.options.name, self.options.architecture, dict(self.options.config)
        if (name is None) == (architecture is None):
            raise RecipeError("transformers takes a name or an architecture", hint="give one of them under `with:`")
        if self.options.num_classes is not None:
            values["num_labels"] = self.options.num_classes
        if name is not None:
            try:
                found = transformers.AutoConfig.from_pretrained(name, revision=self.options.revision, **values)
            except (OSError, ValueError) as error:
                what = f"the configuration of {name} cannot be had: {_first_line(error)}"
                raise WeightsError(
                    what, hint="give a folder that `save_pretrained` wrote, or an architecture"
                ) from error
            return _tower_of(found)
        known = transformers.models.auto.configuration_auto.CONFIG_MAPPING_NAMES
        if architecture not in known:
            hint = did_you_mean(str(architecture), known, otherwise="it is the `model_type` of a configuration")
            raise RecipeError(f"transformers has no architecture {architecture!r}", hint=hint, subject=architecture)
        try:
            return _tower_of(transformers.AutoConfig.for_model(architecture, **values))
        except (TypeError, ValueError) as error:
            raise RecipeError(f"the configuration of {architecture} does not fit: {_first_line(error)}") from error

    def _processor(self, transformers: Any, config: Any) -> Any:
        """Return the processor of a name, or that of an architecture for the size that it takes."""
        name = self.options.name
        if name is not None:
            try:
                return transformers.AutoImageProcessor.from_pretrained(name, revision=self.options.revision)
            except (OSError, ValueError) as error:
                what = f"the processor of {name} cannot be had: {_first_line(error)}"
                raise WeightsError(what, hint="give a folder that has `preprocessor_config.json`") from error
        kind = _processor_of(transformers, config)
        side = getattr(config, "image_size", None)
        usual = kind()
        if not isinstance(side, int):
            return usual
        square = {"height": side, "width": side}
        exact = getattr(usual.size, "height", None)
        size = square if exact else {"shortest_edge": side}
        return kind(size=size, crop_size=square) if usual.do_center_crop else kind(size=size)

    def _output(self, config: Any, task: Task) -> Output:
        """Return how the network is read."""
        if task == "vision":
            key = "image_embeds" if config.model_type in _TOWERS else "pooler_output"
            return Vector(name="embedding", key=key)
        names = _names_of(config)
        if task == "segmentation":
            return Pixels(names=tuple(self.options.names or names), key="logits", returns="logits", several=False)
        return self.options.output_of(config.num_labels, known=names, key="logits")


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        hint = "pip install interpretkit[transformers]"
        raise PluginError(f"the model 'transformers' needs the package transformers: {error}", hint=hint) from error
    return transformers


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep the library from drawing bars and tables on the terminal; what does not fit is told by us."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _tower_of(config: Any) -> Any:
    """Return the configuration of the part that reads images, in a network of images and texts."""
    tower = getattr(config, "vision_config", None)
    if tower is None:
        return config
    if hasattr(config, "projection_dim"):
        tower.projection_dim = config.projection_dim
    tower.architectures = None
    return tower


def _task_of(config: Any) -> Task:
    """Return what a configuration says that its network is for."""
    for name in config.architectures or ():
        for ending, task in _TASKS.items():
            if name.endswith(ending):
                return task
        return "vision"
    return "vision" if "vision_model" in config.model_type else "classification"


def _maker(transformers: Any, config: Any, task: Task) -> Any:
    """Return the class of the network."""
    automatic = {
        "classification": transformers.AutoModelForImageClassification,
        "segmentation": transformers.AutoModelForSemanticSegmentation,
        "vision": transformers.AutoModel,
    }[task]
    if task == "vision" and config.model_type in _TOWERS:
        return getattr(transformers, _TOWERS[config.model_type])
    try:
        return automatic._model_mapping[type(config)]  # noqa: SLF001 - what the class is, it tells nowhere else
    except KeyError as error:
        raise RecipeError(
            f"transformers has no {config.model_type} for {task}", hint="choose another `task`"
        ) from error


def _untrained(maker: Any, config: Any) -> Any:
    return maker._from_config(config)  # noqa: SLF001 - the class itself has no other way


def _loaded(maker: Any, config: Any, state: Mapping[str, torch.Tensor], task: Task) -> Any:
    """Return the network with weights under the names that they have, or had in earlier versions of transformers."""
    import torch

    with torch.device("meta"):
        names = set(_untrained(maker, config).state_dict())
    freed = without_prefix(state, names.__contains__)
    try:
        network, told = maker.from_pretrained(None, config=config, state_dict=freed, output_loading_info=True)
    except RuntimeError as error:
        raise WeightsError("the weights have other shapes than the network", hint="check `config:`") from error
    fitted = {name: each for name, each in network.state_dict().items() if name not in told["missing_keys"]}
    # Beside a tower there may be one of texts.
    if task != "vision":
        fitted |= {name: freed.get(name, torch.empty(0)) for name in told["unexpected_keys"]}
    # They are in their places already: this judges what is missing or extra, by the recipe's `strict`.
    load_state(network, fitted)
    return network


def _processor_of(transformers: Any, config: Any) -> Any:
    """Return the class of the processor that goes with a configuration."""
    mapping = transformers.models.auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING
    whole = config.model_type.removesuffix("_vision_model")
    for kind in (type(config), type(transformers.AutoConfig.for_model(whole))):
        if kind in mapping:
            kinds = mapping[kind]
            return kinds.get("torchvision") or kinds["pil"]
    raise RecipeError(f"transformers has no processor for {config.model_type}", hint="give a `name`")


def _names_of(config: Any) -> tuple[str, ...]:
    """Return the names of the classes; nothing where they are but numbered."""
    names = [str(config.id2label[index]) for index in range(config.num_labels)]
    if all(name == f"LABEL_{index}" for index, name in enumerate(names)):
        return _imagenet_classes() if config.num_labels == _IMAGENET_CLASSES else ()
    return tuple(names)


def _imagenet_classes() -> tuple[str, ...]:
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
