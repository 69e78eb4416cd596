"""Find plugins, look up what they offer, and explain what is missing or broken.

Every plugin gets a pluggy manager of its own: a broken one is remembered with its cause and hurts nobody else.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import pluggy

from interpretkit.contracts import hooks
from interpretkit.contracts.kinds import KINDS, Base, Kind
from interpretkit.errors import PluginError, RecipeError, cause, did_you_mean, located, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from interpretkit.contracts.offer import Offer
    from interpretkit.contracts.options import Options

GROUP = "interpretkit"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin as it was found.

    Attributes:
        package: The name of its entry point, which is its package; or the path of a file given by hand.
        distribution: The installed distribution that it belongs to; empty for a file.
        version: The distribution's version; empty for a file.
        error: Why it could not be loaded; empty if it could.
    """

    package: str
    distribution: str = ""
    version: str = ""
    error: str = ""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}" if self.distribution else self.package


@dataclass(frozen=True, slots=True)
class Registered(Generic[Base]):
    """What a plugin offers, and the plugin that it comes from."""

    offer: type[Base]
    plugin: Plugin

    def options(self) -> type[Options]:
        """Return the class of its options, ready to check some.

        Raises:
            PluginError: If the class cannot check anything.
        """
        with located(str(self.plugin), doing=f"the options of {self.offer.name!r}", kind=PluginError):
            self.offer.Options.model_rebuild()
        return self.offer.Options


class Registry:
    """What all plugins offer, by id.

    Args:
        sources: Plugins with the function that loads each one's module.
    """

    def __init__(self, sources: Iterable[tuple[Plugin, Callable[[], Any]]]) -> None:
        self.plugins: list[Plugin] = []
        self._offers: dict[Kind[Any], dict[str, list[Registered[Any]]]] = {kind: {} for kind in KINDS}
        for plugin, load in sources:
            self._register(plugin, load)

    def of(self, kind: Kind[Base]) -> Mapping[str, Registered[Base]]:
        """Return what there is of a kind by id, in alphabetical order."""
        return {name: found[0] for name, found in sorted(self._offers[kind].items())}

    def all(self, kind: Kind[Base]) -> list[Registered[Base]]:
        """Return everything of a kind in alphabetical order, what claims the same id included."""
        return [each for _, found in sorted(self._offers[kind].items()) for each in found]

    def find(self, kind: Kind[Base], name: str, *, where: str = "") -> Registered[Base]:
        """Return the offer of a kind that has this id; `where` is the place that errors name.

        Raises:
            RecipeError: If no plugin has it.
            PluginError: If two have it, or a plugin that could have it is broken.
        """
        offers = self._offers[kind]
        found = offers.get(name, [])
        if len(found) == 1:
            return found[0]
        if found:
            providers = " and ".join(str(each.plugin) for each in found)
            what = f"{kind.name} {name!r} is claimed by {providers}"
            raise PluginError(what, where=where, hint="uninstall one of them")
        broken = [plugin for plugin in self.plugins if plugin.error]
        if broken and not nearest(name, offers):
            causes = "; ".join(f"{plugin}: {plugin.error}" for plugin in broken)
            what = f"no working plugin offers {kind.name} {name!r}"
            raise PluginError(what, where=where, hint=f"these failed to load: {causes}")
        known = f"`interpretkit plugins` lists the {kind.name}s there are"
        hint = did_you_mean(name, offers, otherwise=known)
        raise RecipeError(f"unknown {kind.name} {name!r}", where=where, hint=hint)

    def add(self, kind: Kind[Base], offer: type[Base], plugin: Plugin) -> None:
        """Add an offer of a plugin."""
        self._offers[kind].setdefault(offer.name, []).append(Registered(offer, plugin))

    def _register(self, plugin: Plugin, load: Callable[[], Any]) -> None:
        try:
            with _contained():
                offered = _offers(load())
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may fail in any way, SystemExit included
            self.plugins.append(Plugin(plugin.package, plugin.distribution, plugin.version, cause(error)))
            return
        self.plugins.append(plugin)
        for kind, offers in offered.items():
            for offer in offers:
                self.add(kind, offer, plugin)


def discover(files: Sequence[str | Path] = ()) -> Registry:
    """Load every installed plugin, and the plugin files given by hand.

    Raises:
        PluginError: If a file given by hand does not exist or fails to load.
    """
    found = [(_installed(entry), entry.load) for entry in entry_points(group=GROUP)]
    installed = sorted(found, key=lambda source: (source[0].package, source[0].distribution))
    paths = map(Path, files)
    once = {path.resolve(): path for path in paths}.values()
    given = ((Plugin(str(path)), lambda path=path: _load_file(path)) for path in once)
    registry = Registry([*installed, *given])
    for plugin in registry.plugins:
        if plugin.error and not plugin.distribution:
            raise PluginError(f"cannot load the plugin: {plugin.error}", where=plugin.package)
    return registry


@contextlib.contextmanager
def _contained() -> Iterator[None]:
    """Keep what a plugin does while it loads from the others: its output, working directory, logging, default dtype.

    What it prints goes to stderr; the rest is put back as it was.
    """
    folder = Path.cwd()
    handlers = list(logging.root.handlers)
    dtype = sys.modules["torch"].get_default_dtype() if "torch" in sys.modules else None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.chdir(folder)
        logging.root.handlers[:] = handlers
        if torch := sys.modules.get("torch"):
            torch.set_default_dtype(dtype or torch.float32)


def _installed(entry: EntryPoint) -> Plugin:
    if entry.dist is None:
        return Plugin(entry.name, "unknown distribution", "")
    about = entry.dist.metadata  # read anew each time
    return Plugin(entry.name, about["Name"], about["Version"])


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError("no such file")
    spec = importlib.util.spec_from_file_location(f"interpretkit_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    # pydantic and dataclasses look their own module up while a class is being made.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _check_hooks(module: Any, manager: pluggy.PluginManager) -> None:
    """Check that a plugin implements hooks, and only hooks that there are.

    Raises:
        PluginValidationError: If it does not; pluggy itself would not say what was meant.
    """
    hooks_there_are = [kind.hook for kind in KINDS]
    for name in hooks_there_are:
        function = getattr(module, name, None)
        if function is not None and not hasattr(function, f"{GROUP}_impl"):
            raise pluggy.PluginValidationError(module, f"{name}() is not marked (put @hookimpl above it)")
    callers = manager.get_hookcallers(module) or []
    for caller in callers:
        if not caller.has_spec():
            hint = did_you_mean(caller.name, hooks_there_are, otherwise=f"hooks are {', '.join(hooks_there_are)}")
            raise pluggy.PluginValidationError(module, f"there is no hook {caller.name!r} ({hint})")
    if not callers:
        hint = "write one of its hooks, such as interpretkit_visualizers(), and put @hookimpl above it"
        raise pluggy.PluginValidationError(module, f"it offers nothing ({hint})")


def _offers(module: Any) -> dict[Kind[Any], list[type[Offer]]]:
    """Return what a plugin offers of each kind."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hooks)
    manager.register(module)
    _check_hooks(module, manager)
    offered: dict[Kind[Any], list[type[Offer]]] = {}
    for kind in KINDS:
        found = [offer for offers in getattr(manager.hook, kind.hook)() for offer in offers]
        offered[kind] = [kind.admit(offer) for offer in found]
    return offered
