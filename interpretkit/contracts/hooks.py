"""The hooks that a plugin implements, each with a complete example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit.contracts.builder import ModelBuilder
    from interpretkit.contracts.visualizer import Visualizer

hookspec = pluggy.HookspecMarker("interpretkit")
hookimpl = pluggy.HookimplMarker("interpretkit")
"""Marks a function of a plugin as the implementation of the hook of its name."""


@hookspec
def interpretkit_visualizers() -> Iterable[type[Visualizer]]:
    """Yield the visualizer classes of this plugin.

    Import them inside the function, so that finding the plugin stays quick.

    Example:
        ```python
        from interpretkit import hookimpl


        @hookimpl
        def interpretkit_visualizers():
            from my_package.energy import Energy

            yield Energy
        ```
    """
    raise NotImplementedError


@hookspec
def interpretkit_models() -> Iterable[type[ModelBuilder]]:
    """Yield the model builder classes of this plugin.

    Example:
        ```python
        from interpretkit import hookimpl


        @hookimpl
        def interpretkit_models():
            from my_package.net import MyNetBuilder

            yield MyNetBuilder
        ```
    """
    raise NotImplementedError
