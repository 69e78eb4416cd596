"""The hooks that a plugin implements, each with a complete example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit.contracts.builder import ModelBuilder
    from interpretkit.contracts.check import Check
    from interpretkit.contracts.executor import Executor
    from interpretkit.contracts.exporter import Exporter
    from interpretkit.contracts.reader import Reader
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


@hookspec
def interpretkit_checks() -> Iterable[type[Check]]:
    """Yield the check classes of this plugin.

    Example:
        ```python
        from interpretkit import hookimpl


        @hookimpl
        def interpretkit_checks():
            from my_package.not_empty import NotEmpty

            yield NotEmpty
        ```
    """
    raise NotImplementedError


@hookspec
def interpretkit_readers() -> Iterable[type[Reader]]:
    """Yield the reader classes of this plugin.

    Example:
        ```python
        from interpretkit import hookimpl


        @hookimpl
        def interpretkit_readers():
            from my_package.dicom import DicomReader

            yield DicomReader
        ```
    """
    raise NotImplementedError


@hookspec
def interpretkit_exporters() -> Iterable[type[Exporter]]:
    """Yield the exporter classes of this plugin.

    Example:
        ```python
        from interpretkit import hookimpl


        @hookimpl
        def interpretkit_exporters():
            from my_package.slides import SlidesExporter

            yield SlidesExporter
        ```
    """
    raise NotImplementedError


@hookspec
def interpretkit_executors() -> Iterable[type[Executor]]:
    """Yield the executor classes of this plugin.

    Example:
        ```python
        from interpretkit import hookimpl


        @hookimpl
        def interpretkit_executors():
            from my_package.pool import PoolExecutor

            yield PoolExecutor
        ```
    """
    raise NotImplementedError
