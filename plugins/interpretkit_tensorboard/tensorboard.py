"""The exporter: what a run has left, as events that TensorBoard reads."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

import interpretkit as ik
from interpretkit_tensorboard import series

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class TensorBoardExporter(ik.Exporter):
    """Figures, numbers and histograms of a run as one step of TensorBoard's axis.

    Exported into one folder, each with a `step` of its own, the runs of the epochs of a training make one sequence that
    can be watched while it grows.

    A figure is an image `step/image/figure`. Rows of a table that have the same words (layer, measure, class) make a
    number of each of their columns, `step/table/words/column`: its mean over images and channels. Where there are
    several rows, their values make a histogram too, `step/table/words/column/values`; a table of bins (`low`, `high`,
    `count`) is one as it stands, `step/table/words`. What is not finite is left out.
    """

    name = "tensorboard"

    class Options(ik.Exporter.Options):
        """Where on the axis, and how much of it."""

        step: int = Field(default=0, ge=0, description="the step of the axis: the epoch that the run is about")
        images: int = Field(default=8, ge=0, description="figures of so many images are written, in their order")

    options: Options

    def export(self, run: ik.Run, folder: Path) -> Path:
        """Write one file of events into a folder, and return the folder: `tensorboard --logdir FOLDER` opens it."""
        writer_class = _writer_class()
        folder.mkdir(parents=True, exist_ok=True)
        # The run's name: two files that are begun in the same second would else be one.
        with writer_class(logdir=str(folder), filename_suffix=f".{run.path.name}") as writer:
            self._write(writer, run)
        return folder

    def _write(self, writer: Any, run: ik.Run) -> None:
        from PIL import Image  # listing plugins must not wait for it

        at = self.options.step
        for tag, data in self._figures(run):
            pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            writer.add_image(tag, pixels, global_step=at, dataformats="HWC")
        for tag, table in _tables(run):
            for words, rows in series.groups_of(table):
                group = f"{tag}/{words}" if words else tag
                if series.is_histogram(table):
                    _add_histogram(writer, group, series.of_bins(rows), at)
                else:
                    _add_numbers(writer, group, rows, at)

    def _figures(self, run: ik.Run) -> Iterator[tuple[str, bytes]]:
        """Yield the figures of the first images, and those of the whole set, with their names."""
        first = [image["id"] for image in run.manifest["inputs"][: self.options.images]]
        for step in run.manifest["steps"]:
            for figure in step["figures"]:
                if figure["image"] in (None, *first):
                    yield _tag(step, figure), run.read(figure["file"])


def _tag(step: Mapping[str, Any], figure: Mapping[str, Any]) -> str:
    parts = (step["id"], figure["image"], figure["name"])
    return "/".join(part for part in parts if part is not None)


def _tables(run: ik.Run) -> Iterator[tuple[str, ik.Table]]:
    for step, result in run.results.items():
        for name, table in result.tables.items():
            yield f"{step}/{name}", table


def _add_numbers(writer: Any, group: str, rows: ik.Table, at: int) -> None:
    for column, values in series.numbers_of(rows):
        if len(values):
            writer.add_scalar(f"{group}/{column}", values.mean(), global_step=at)
        if len(values) > 1:
            _add_histogram(writer, f"{group}/{column}/values", series.of_values(values), at)


def _add_histogram(writer: Any, tag: str, found: series.Histogram, at: int) -> None:
    writer.add_histogram_raw(
        tag,
        min=found.least,
        max=found.greatest,
        num=sum(found.counts),
        sum=found.total,
        sum_squares=found.squares,
        bucket_limits=found.limits,
        bucket_counts=found.counts,
        global_step=at,
    )


def _writer_class() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        what = "the package tensorboardX is not installed"
        raise ik.PluginError(what, hint="pip install interpretkit[tensorboard]") from error
    return SummaryWriter
