"""The checks that authors of checks, readers, exporters and executors test with, and what they find."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import interpretkit as ik
from interpretkit.testing import checks_of, tiny_run
from interpretkit_standard.html import HtmlExporter
from interpretkit_standard.local import LocalExecutor
from interpretkit_tensorboard.tensorboard import TensorBoardExporter


def found(offer, **given):
    messages = {}
    for check in checks_of(offer, **given):
        try:
            check()
        except Exception as error:  # noqa: BLE001 - a broken one may raise anything
            messages[str(check)] = str(error)
    return messages


class Greatest(ik.Check):
    """Whether a map says anything."""

    name = "greatest"
    judges = ("attribution",)

    def judge(self, result):
        figure = max(float(abs(each.values).max()) for each in result.maps.values())
        return ik.Verdict(status="pass" if figure else "fail", figure=figure, threshold=0.0, text=f"{figure:g}")


class SaysYes(Greatest):
    def judge(self, result):
        return True


class SaysGood(Greatest):
    def judge(self, result):
        return ik.Verdict(status="good", figure=1, threshold=1, text="good")


class Counts(Greatest):
    calls = itertools.count()

    def judge(self, result):
        return ik.Verdict(status="pass", figure=next(self.calls), threshold=0, text="another")


class Scribbles(Greatest):
    def judge(self, result):
        for each in result.maps.values():
            each.values[:] = 1
        return super().judge(result)


@pytest.mark.parametrize(
    ("check", "names"),
    [
        (Greatest, set()),
        (SaysYes, {"verdicts"}),
        (SaysGood, {"verdicts"}),
        (Counts, {"same_twice"}),
        (Scribbles, {"judging_changes_nothing"}),
        (type("Judges", (Greatest,), {"judges": ()}), {"admitted"}),
    ],
)
def test_checks(check, names):
    assert found(check).keys() == names


def test_a_check_of_something_else_is_tried_on_given_results():
    class Rows(Greatest):
        judges = ("statistics",)

        def judge(self, result):
            rows = len(result.tables["channels"])
            return ik.Verdict(status="pass", figure=rows, threshold=0, text=f"{rows} rows")

    assert found(Rows, results=[ik.Result(tables={"channels": ik.Table(channel=[0, 1])})]) == {}


class Toy(ik.Reader):
    """Rows of digits."""

    name = "toy"
    suffixes = (".toy",)

    def read(self, path, page):
        rows = path.read_text().split()
        values = np.array([list(map(int, row)) for row in rows], np.uint8)
        return ik.Stored(values=values, range=(0, 9), said_by="digits")


class Coloured(Toy):
    def read(self, path, page):
        grey = super().read(path, page)
        return replace(grey, values=np.stack([grey.values] * 3, axis=-1), axes=("y", "x", "channel"))


class Pictures(Toy):
    def read(self, path, page):
        return Image.fromarray(super().read(path, page).values)


class Speechless(Toy):
    def read(self, path, page):
        return replace(super().read(path, page), conversions="digits to grey")


class Guesses(Toy):
    def read(self, path, page):
        return ik.Stored(values=np.zeros((1, 1), np.uint8))


class Pageless(Toy):
    def pages(self, path):
        return 0


class Promises(Toy):
    def pages(self, path):
        return 2

    def read(self, path, page):
        if page:
            raise ik.InputError("has no second page")
        return super().read(path, page)


class Blinks(Toy):
    calls = itertools.count()

    def read(self, path, page):
        stored = super().read(path, page)
        return replace(stored, values=stored.values + np.uint8(next(self.calls)))


class Wavers(Toy):
    calls = itertools.count(9)

    def read(self, path, page):
        return replace(super().read(path, page), range=(0, next(self.calls)))


@pytest.mark.parametrize(
    ("reader", "names"),
    [
        (Toy, set()),
        (Coloured, set()),
        (Pictures, {"reads", "same_twice"}),
        (Pageless, {"reads"}),
        (Promises, {"reads"}),
        (Speechless, {"reads"}),
        (Guesses, {"garbage"}),
        (Blinks, {"same_twice"}),
        (Wavers, {"same_twice"}),
        (type("Other", (Toy,), {"suffixes": (".other",)}), {"suffixes"}),
    ],
)
def test_readers(tmp_path, reader, names):
    (tmp_path / "steps.toy").write_text("0369\n9630\n")
    assert found(reader, files=[tmp_path / "steps.toy"]).keys() == names


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("tiny") / "run")


class Names(ik.Exporter):
    """The names of the steps."""

    name = "names"

    def export(self, run, folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "names.txt"
        file.write_text("\n".join(run.results))
        return file


class Elsewhere(Names):
    def export(self, run, folder):
        super().export(run, folder)
        return folder.parent


class NewOnly(Names):
    def export(self, run, folder):
        folder.mkdir(parents=True)
        return super().export(run, folder)


class InText(Names):
    def export(self, run, folder):
        return str(super().export(run, folder))


class Edits(Names):
    def export(self, run, folder):
        (run.path / "extra.txt").write_text(str(folder))
        return super().export(run, folder)


@pytest.mark.parametrize(
    ("exporter", "names"),
    [
        (Names, set()),
        (HtmlExporter, set()),
        (TensorBoardExporter, set()),
        (Elsewhere, {"exports"}),
        (InText, {"exports"}),
        (NewOnly, {"existing_folder"}),
    ],
)
def test_exporters(run, exporter, names):
    assert found(exporter, run=run).keys() == names


def test_an_exporter_is_tried_on_a_run_of_its_own():
    assert found(Edits).keys() == {"run_unchanged"}


class Pool(ik.Executor):
    """Some threads, a few shards ahead."""

    name = "pool"

    def map(self, work, shards):
        with ThreadPoolExecutor(2) as pool:
            while some := list(itertools.islice(shards := iter(shards), 4)):
                yield from pool.map(work, some)


class AllAtOnce(Pool):
    def map(self, work, shards):
        return iter([work(shard) for shard in shards])


class Backwards(Pool):
    def map(self, work, shards):
        shards = iter(shards)
        while some := list(itertools.islice(shards, 3)):
            yield from reversed([work(shard) for shard in some])


class Forgives(Pool):
    def map(self, work, shards):
        for shard in shards:
            try:
                yield work(shard)
            except ZeroDivisionError:
                yield None


@pytest.mark.parametrize(
    ("executor", "names"),
    [
        (LocalExecutor, set()),
        (Pool, set()),
        (AllAtOnce, {"lazy"}),
        (Backwards, {"order", "lazy"}),
        (Forgives, {"errors"}),
    ],
)
def test_executors(executor, names):
    assert found(executor).keys() == names
