from __future__ import annotations

import csv
import errno
import io
import json
import os
import secrets
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from interpretkit.errors import CheckError, RecipeError, StepError, StorageError
from interpretkit.results.image import InputImage
from interpretkit.results.map import Map
from interpretkit.results.result import Result
from interpretkit.results.table import Table
from interpretkit.results.targets import Target
from interpretkit.runs.draft import create
from interpretkit.runs.journal import Begun, Told
from interpretkit.runs.manifest import SCHEMA, manifest_bytes
from interpretkit.runs.records import ImageRecord, MapRecord, RunRecord
from interpretkit.runs.run import open_run
from interpretkit.runs.verify import reseal, verify

TEXTS = [
    "a,b",
    'say "x"',
    "two\nlines",
    "only\rreturn",
    "crlf\r\n",
    "",
    " blank ",
    "日本 🐈",
    "nan",
    "True",
    "1e5",
    "a\0b",
]
FLOATS = [1e-300, 0.1 + 0.2, np.inf, -np.inf, np.nan, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, 2.0, 1e16, 1e22]


CAT, PEAKS = "results/cam/cat.safetensors", "results/cam/peaks.csv"


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)


def image(name, seed=0):
    return InputImage(
        id=name, source=f"{name}.jpg", sha256="00", size=(4, 5), conversions=("grey",), label=None, pixels=picture(seed)
    )


def cam(values, layer="stage4"):
    return Map(values=values, dims=("image", "y", "x"), layer=layer, extent={"y": 32, "x": 32}, polarity="signed")


def result_of(names, seed=0):
    random = np.random.default_rng(seed)
    return Result(
        maps={
            "stage4": cam(random.normal(size=(len(names), 2, 3)).astype(np.float32)),
            "half": cam(random.normal(size=(len(names), 3, 2)).astype(np.float16), layer="stage0"),
        },
        tables={"peaks": Table(image=np.repeat(names, 2), peak=random.normal(size=2 * len(names)))},
        images=tuple(image(name, position) for position, name in enumerate(names)),
        targets=tuple(Target(spec=3, label="cat", score=0.1 + 0.2, probability=0.5) for _ in names),
    )


REDUCTION = Result(
    maps={
        "mean": Map(values=np.eye(3), dims=("y", "x"), layer="stage4", extent={"y": 32, "x": 32}, polarity="unsigned")
    },
    tables={"channels": Table(channel=[0, 1], mean=[0.5, np.nan])},
)


def begun(parent, *steps, reductions=()):
    """Begin a run of some steps."""
    draft = create(parent, "small")
    plugin = {"package": "p", "distribution": "", "version": ""}
    about = {"uses": "u", "plugin": plugin, "model": "model", "of": [], "options": {}, "layers": []}
    scopes = dict.fromkeys(steps, "image") | dict.fromkeys(reductions, "set")
    facts = {
        "schema": SCHEMA,
        "name": "small",
        "id": draft.id,
        "interpretkit": "0.1.0",
        "command": "",
        "recipe": {"source": "", "sha256": ""},
        "steps": [{"id": name, "scope": scope, **about} for name, scope in scopes.items()],
        **dict.fromkeys(("alerts", "inputs"), ()),
        **{name: {} for name in ("models", "numerics", "environment", "files")},
    }
    draft.record(Begun(run=RunRecord.from_facts(**facts)))
    return draft


def seal(draft, images=(), status="complete", report="<p>first</p>"):
    for each in images:
        stream = io.BytesIO()
        Image.fromarray(each.pixels).save(stream, "PNG")
        file = f"inputs/{each.id}.png"
        facts = {name: getattr(each, name) for name in ("id", "source", "sha256", "size", "conversions", "label")}
        draft.write_image(ImageRecord.from_facts(**facts, pictures={"model": file}), {file: stream.getvalue()})
    return draft.seal(status, lambda _run: report)


def write_figure(draft, step, *about):
    return draft.write_figure(step, *about, caption="", alt="")


def make_run(parent):
    """Seal a small run that holds a file of each kind."""
    draft = begun(parent, "cam", reductions=["statistics"])
    draft.write_text("recipe.yaml", "name: small\n")
    draft.record(Told(event="batch", facts={"images": 2}))
    result = result_of(["cat", "dog"])
    draft.write_result("cam", result, reduction=False)
    draft.write_result("statistics", REDUCTION, reduction=True)
    write_figure(draft, "cam", "cat", "stage4", b"a picture")
    return seal(draft, result.images)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def stored(parent, *results, reduction=False):
    """Write the results of one step, batch by batch, and open the run."""
    draft = begun(parent, "step", reductions=["step"] if reduction else [])
    for each in results:
        draft.write_result("step", each, reduction=reduction)
    path = seal(draft, [image for each in results for image in each.images])
    assert verify(path) == []
    return open_run(path)


def assert_same(found, expected):
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


# Round trips


def test_a_result_of_several_batches_reads_back_exactly(tmp_path):
    batches = [result_of(["zebra", "cat"], 1), result_of(["dog"], 2)]
    found = stored(tmp_path, *batches).results["step"]
    assert list(found.maps) == ["stage4", "half"]
    for name in found.maps:
        assert_same(found.maps[name].values, np.concatenate([batch.maps[name].values for batch in batches]))
        assert (found.maps[name].layer, found.maps[name].dims) == (batches[0].maps[name].layer, ("image", "y", "x"))
        assert (found.maps[name].extent, found.maps[name].polarity) == ({"y": 32, "x": 32}, "signed")
    for column in ("image", "peak"):
        assert_same(found.tables["peaks"][column], np.concatenate([each.tables["peaks"][column] for each in batches]))
    assert found.targets == batches[0].targets + batches[1].targets
    expected = batches[0].images + batches[1].images
    for name in ("id", "source", "sha256", "size", "conversions", "label"):
        assert [getattr(each, name) for each in found.images] == [getattr(each, name) for each in expected]
    for image, original in zip(found.images, expected, strict=True):
        assert_same(image.pixels, original.pixels)


def test_a_reduction_reads_back_exactly(run):
    found = open_run(run).results["statistics"]
    assert found.maps["mean"].dims == ("y", "x")
    assert_same(found.maps["mean"].values, np.eye(3))
    assert_same(found.tables["channels"]["channel"], np.array([0, 1]))
    assert_same(found.tables["channels"]["mean"], np.array([0.5, np.nan]))
    assert [image.id for image in found.images] == ["cat", "dog"]


@pytest.mark.parametrize(
    "column",
    [
        np.array(TEXTS),
        np.array(FLOATS),
        np.array(FLOATS[:6], np.float32),
        np.array([2**63 - 1, -(2**63), 2**53 + 1]),
        np.array([2**64 - 1], np.uint64),
        np.array([True, False]),
        np.array([], np.float32),
        np.array([""]),
    ],
    ids=["text", "float64", "float32", "int64", "uint64", "bool", "none", "empty"],
)
def test_a_column_reads_back_bit_for_bit(tmp_path, column):
    found = stored(tmp_path, Result(tables={"table": Table({'odd, "name"\n': column})}), reduction=True)
    assert_same(found.results["step"].tables["table"]['odd, "name"\n'], column)


def test_a_table_is_a_csv_file_that_anybody_reads(tmp_path):
    table = Table(text=TEXTS, number=FLOATS)
    path = stored(tmp_path, Result(tables={"table": table}), reduction=True).path / "results/step/table.csv"
    data = path.read_bytes()
    assert data.startswith(b'"text","number"\n"a,b",1e-300\n"say ""x""",0.30000000000000004\n')
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert [row[0] for row in rows[1:]] == TEXTS


@pytest.mark.parametrize(
    "values",
    [
        np.arange(12, dtype=np.float32).reshape(1, 4, 3).transpose(0, 2, 1),
        np.arange(12, dtype=">f4").reshape(1, 3, 4),
        np.arange(24, dtype=np.float32).reshape(1, 3, 8)[..., ::2],
        np.zeros((1, 0, 4), np.float32),
    ],
    ids=["transposed", "big-endian", "strided", "empty"],
)
def test_a_map_reads_back_whatever_its_layout_in_memory(tmp_path, values):
    found = stored(tmp_path, Result(maps={"stage4": cam(values)}, images=(image("cat"),)))
    assert_same(found.results["step"].maps["stage4"].values, np.ascontiguousarray(values, np.float32))


def test_the_result_of_one_image_is_only_about_it(tmp_path):
    batch = result_of(["cat", "dog"])
    found = stored(tmp_path, batch).result("step", image="dog")
    assert_same(found.maps["stage4"].values, batch.maps["stage4"].values[1:])
    assert found.tables["peaks"]["image"].tolist() == ["dog", "dog"]
    assert ([each.id for each in found.images], len(found.targets)) == (["dog"], 1)
    assert_same(found.images[0].pixels, picture(1))


@pytest.mark.parametrize("count", [10, 40])
def test_reading_the_images_of_a_run_one_by_one_looks_at_each_record_a_few_times(tmp_path, monkeypatch, count):
    names = [f"image{number}" for number in range(count)]
    found = stored(tmp_path, *(result_of(names[start : start + 5], start) for start in range(0, count, 5)))
    asked = []
    for kind in (MapRecord, ImageRecord):
        counting = lambda record, name: asked.append(name) or object.__getattribute__(record, name)  # noqa: E731
        monkeypatch.setattr(kind, "__getattribute__", counting)
    for name in names:
        result = found.result("step", image=name)
        assert [image.id for image in result.images] == [name]
        assert list(result.maps) == ["stage4", "half"]
    assert 0 < len(asked) <= 16 * count


def test_a_table_is_read_once_for_all_images_and_its_rows_for_each(tmp_path, monkeypatch):
    odd = ["a\nb", "a,b", 'say "x"', "only\rreturn", "crlf\r\n", "日本"]
    batches = [[("b", 1.0, odd[0]), ("a", 2.0, odd[1]), ("b", 3.0, odd[2])], [("a", 4.0, odd[3]), ("c", 5.0, odd[4])]]
    draft = begun(tmp_path, "step")
    for rows in batches:
        columns = dict(zip(("image", "peak", "text"), zip(*rows, strict=True), strict=True))
        draft.write_result("step", Result(tables={"peaks": Table(columns)}), reduction=False)
    images = tuple(image(name) for name in ("a", "b", "c", "d"))
    found = open_run(seal(draft, images))
    whole = found.results["step"].tables["peaks"]
    reads = []
    read_bytes = type(tmp_path).read_bytes
    monkeypatch.setattr(type(tmp_path), "read_bytes", lambda path: reads.append(path.name) or read_bytes(path))
    for _ in range(2):
        for name in ("a", "b", "c", "d"):
            part, expected = found.result("step", image=name).tables["peaks"], whole.where("image", name)
            assert list(part.rows()) == list(expected.rows())
            assert [column.dtype.kind for column in part.columns.values()] == ["U", "f", "U"]
    assert reads == ["peaks.csv"]
    path = found.path / "results" / "step" / "peaks.csv"
    path.write_text(path.read_text().replace("5.0", "6.5"))
    os.utime(path, (1, 1))
    with pytest.raises(StorageError, match=r"peaks\.csv differs"):
        found.result("step", image="a").tables["peaks"]


def test_maps_of_different_shapes_are_read_one_by_one(tmp_path):
    wide = Result(maps={"stage4": cam(np.ones((1, 2, 9)))}, images=(image("wide"),))
    tall = Result(maps={"stage4": cam(np.ones((1, 9, 2)))}, images=(image("tall"),))
    found = stored(tmp_path, wide, tall)
    with pytest.raises(StepError, match=r"same shape.*run.result\('step', image='wide'\)"):
        _ = found.results["step"].maps["stage4"]
    assert found.result("step", image="tall").maps["stage4"].values.shape == (1, 9, 2)


def test_a_map_that_some_images_lack_is_read_one_by_one(tmp_path):
    ones = cam(np.ones((1, 2, 2)))
    both = Result(maps={"a": ones, "b": ones}, images=(image("both"),))
    one = Result(maps={"a": ones}, images=(image("one"),))
    found = stored(tmp_path, both, one)
    assert found.results["step"].maps["a"].values.shape == (2, 2, 2)
    with pytest.raises(StepError, match="one by one"):
        _ = found.results["step"].maps["b"]
    assert list(found.result("step", image="one").maps) == ["a"]


def test_a_step_that_stopped_on_the_way_is_about_the_images_that_it_reached(tmp_path):
    draft = begun(tmp_path, "maps", "targets")
    reached, unreached = result_of(["cat"]), result_of(["dog"])
    draft.write_result("maps", Result(maps=reached.maps, images=reached.images), reduction=False)
    draft.write_result("targets", Result(images=reached.images, targets=reached.targets), reduction=False)
    found = open_run(seal(draft, reached.images + unreached.images)).results
    assert [[each.id for each in found[name].images] for name in ("maps", "targets")] == [["cat"], ["cat"]]


def test_a_logit_that_is_no_number_is_null_in_the_manifest_and_nan_in_the_target(tmp_path):
    target = Target(spec=1, label="1", score=float("nan"), probability=float("nan"))
    found = stored(tmp_path, Result(images=(image("cat"),), targets=(target,)))
    assert '"score": null' in (found.path / "manifest.json").read_text()
    assert np.isnan(found.results["step"].targets[0].score)


def test_an_empty_batch_does_not_decide_the_dtype_of_a_column(tmp_path):
    tables = [Table(image=[], peak=[]), Table(image=["cat"], peak=[3]), Table(image=[], peak=[])]
    found = stored(tmp_path, *(Result(tables={"peaks": table}) for table in tables)).results["step"].tables["peaks"]
    assert (found["image"].tolist(), found["peak"].tolist(), found["peak"].dtype) == (["cat"], [3], np.int64)


def test_integers_and_floats_of_two_batches_make_a_column_of_floats(tmp_path):
    tables = [Table(image=["cat"], peak=[3]), Table(image=["dog"], peak=[0.5])]
    found = stored(tmp_path, *(Result(tables={"peaks": table}) for table in tables)).results["step"].tables["peaks"]
    assert_same(found["peak"], np.array([3.0, 0.5]))


# What cannot be stored


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (Result(maps={"m": cam(np.zeros((1, 2, 2), complex))}, images=(image("a"),)), "map 'm': dtype complex128"),
        (Result(maps={"m": cam(np.zeros((1, 2, 2), object))}, images=(image("a"),)), "map 'm': dtype object"),
        (Result(maps={"m": cam(np.zeros((2, 2, 2)))}, images=(image("a"),)), r"dims \(image 2, y 2, x 2\).*length 1"),
        (Result(maps=REDUCTION.maps, images=(image("a"),)), r"map 'mean' has dims \(y 3, x 3\)"),
        (Result(tables={"t": Table(image=["a"], what=[None])}), "table 't', column 'what': dtype object"),
        (Result(tables={"t": Table(image=["a" * 131_073])}), "table 't', column 'image': dtype <U131073"),
        (Result(tables={"t": Table(what=[1])}), "table 't' has no column 'image'"),
        (Result(tables={"../t": Table(image=["a"])}), r"'\.\./t' cannot name a file"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name_before_anything_is_written(tmp_path, result, message):
    draft = create(tmp_path, "small")
    with pytest.raises(StepError, match=message):
        draft.write_result("step", result, reduction=False)
    assert list(draft.path.rglob("*")) == []


@pytest.mark.parametrize(
    "second", [Table(image=["b"], peak=["high"]), Table(image=["b"], peak=[True]), Table(image=["b"]), Table(peak=[1])]
)
def test_the_columns_of_a_table_are_those_of_its_first_batch(tmp_path, second):
    draft = create(tmp_path, "small")
    draft.write_result("step", Result(tables={"peaks": Table(image=["a"], peak=[1])}), reduction=False)
    with pytest.raises(StepError, match="table 'peaks'"):
        draft.write_result("step", Result(tables={"peaks": second}), reduction=False)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/b", "a\\b", "x\0", ".hidden", "..", "a..b", "a\nb", "\x9b", "", "x" * 151, "é" * 76]
)
def test_a_figure_whose_name_could_lead_elsewhere_is_the_plugins_fault(tmp_path, name):
    draft = create(tmp_path, "small")
    with pytest.raises(StepError, match="cannot name a file") as caught:
        write_figure(draft, "cam", "cat", name, b"")
    assert caught.value.exit_code == 5
    assert list(draft.path.rglob("*")) == []


def test_what_is_unfit_for_some_file_systems_is_replaced(tmp_path):
    draft = create(tmp_path, "small")
    assert write_figure(draft, "cam", "cat", 'Größe: <a> "1/2"'.replace("/", "|"), b"") == (
        "figures/cam/cat--Größe___a___1_2_.png"
    )
    assert write_figure(draft, "cam", None, "stage1.0.conv#2", b"") == "figures/cam/stage1.0.conv#2.png"


def test_two_artifacts_of_one_name_are_refused_and_the_first_one_stays(tmp_path):
    draft = create(tmp_path, "small")
    file = write_figure(draft, "cam", "cat", "stage:4", b"first")
    with pytest.raises(StepError, match=r"two artifacts are named figures/cam/cat--stage_4\.png"):
        write_figure(draft, "cam", "cat", "stage?4", b"second")
    assert (draft.path / file).read_bytes() == b"first"
    draft.write_result("cam", result_of(["cat"]), reduction=False)
    with pytest.raises(StepError, match=r"results/cam/cat\.safetensors"):
        draft.write_result("cam", result_of(["cat"]), reduction=False)


def test_a_table_of_the_whole_set_is_written_once(tmp_path):
    draft = create(tmp_path, "small")
    result = Result(tables=REDUCTION.tables)
    draft.write_result("statistics", result, reduction=True)
    with pytest.raises(StepError, match="'channels' of the whole set is stored already"):
        draft.write_result("statistics", result, reduction=True)


# Drafts


def test_a_draft_is_hidden_until_it_is_sealed_and_gone_when_it_is_abandoned(tmp_path):
    draft = begun(tmp_path / "new" / "runs")
    assert [each.name for each in draft.path.parent.iterdir()] == [f".{draft.id}.partial"]
    path = seal(draft, status="interrupted")
    assert [each.name for each in path.parent.iterdir()] == [path.name] == [draft.id]
    assert (open_run(path).status, open_run(path).manifest["id"]) == ("interrupted", draft.id)
    abandoned = create(path.parent, "small")
    abandoned.write_text("recipe.yaml", "")
    abandoned.abandon()
    assert list(path.parent.iterdir()) == [path]


def test_drafts_of_the_same_second_and_the_same_digits_do_not_collide(tmp_path, monkeypatch):
    digits = iter(["aaaaaa", "aaaaaa", "bbbbbb", "bbbbbb", "cccccc"])
    monkeypatch.setattr(secrets, "token_hex", lambda _count: next(digits))
    monkeypatch.setattr("interpretkit.runs.draft.datetime", FrozenTime)
    first = create(tmp_path, "small")
    second = seal(begun(tmp_path))
    third = create(tmp_path, "small")
    ends = [first.id[-6:], second.name[-6:], third.id[-6:]]
    assert ends == ["aaaaaa", "bbbbbb", "cccccc"]
    assert set(tmp_path.iterdir()) == {first.path, second, third.path}


class FrozenTime:
    @staticmethod
    def now(tz):
        from datetime import datetime

        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=tz)


@pytest.mark.parametrize("parent", ["file", "file/below", "nul\0", "x" * 300])
def test_a_parent_that_cannot_be_written_to_is_named(tmp_path, parent):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot make a run directory") as caught:
        create(tmp_path / parent, "small")
    assert caught.value.exit_code == 6
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("planted", ["results", "results/cam", "results/cam/cat.safetensors", "results/cam/peaks.csv"])
def test_nothing_is_written_through_a_symbolic_link_in_a_draft(tmp_path, planted):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("untouched")
    draft = create(tmp_path / "runs", "small")
    (draft.path / planted).parent.mkdir(parents=True, exist_ok=True)
    (draft.path / planted).symlink_to(outside / "file" if "." in planted else outside)
    with pytest.raises(StorageError, match="symbolic link"):
        draft.write_result("cam", result_of(["cat"]), reduction=False)
    assert (outside / "file").read_text() == "untouched"
    assert list(outside.iterdir()) == [outside / "file"]


def test_a_folder_of_runs_that_is_itself_a_link_is_the_users_choice(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    assert verify(make_run(tmp_path / "runs")) == []


@pytest.mark.parametrize("relative", ["../x", "/etc/x", "a//b", "a/../b", "C:/x", "", "a\0"])
def test_a_path_that_leaves_the_run_is_refused(tmp_path, relative):
    draft = create(tmp_path, "small")
    with pytest.raises(StorageError, match="no path inside a run"):
        draft.write_text(relative, "")


def failing_write(monkeypatch, at, error):
    """Let the `at`-th write, counting from 0, store half of its bytes and the next one fail."""
    real, calls = os.write, []

    def write(descriptor, data):
        calls.append(len(data))
        if len(calls) - 1 == at:
            return real(descriptor, bytes(data)[: len(data) // 2])
        if len(calls) - 1 == at + 1:
            raise error
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    return calls


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=str)
def test_a_disk_that_is_full_at_any_write_leaves_no_run_and_no_part_of_a_file(tmp_path, monkeypatch, error):
    with monkeypatch.context() as counting:
        calls = failing_write(counting, -9, error)
        earlier = make_run(tmp_path / "earlier")
    for at in range(len(calls)):
        parent = tmp_path / str(at)
        with monkeypatch.context() as full:
            failing_write(full, at, error)
            with pytest.raises((StorageError, KeyboardInterrupt)) as caught:
                make_run(parent)
        assert isinstance(error, KeyboardInterrupt) or "No space left on device" in str(caught.value)
        (partial,) = parent.iterdir()
        assert partial.name.endswith(".partial")
        for file in (each for each in partial.rglob("*") if each.is_file()):
            whole = (earlier / file.relative_to(partial)).read_bytes()
            assert file.name == "journal.jsonl" or file.read_bytes() == whole
            assert file.name != "manifest.json"
    assert len(calls) == 20
    assert verify(earlier) == []


def test_a_batch_that_does_not_fit_on_the_disk_leaves_the_table_as_it_was(tmp_path, monkeypatch):
    draft = begun(tmp_path, "cam")
    rows = [Result(tables={"peaks": Table(image=[name], peak=[0.5])}) for name in ("cat", "dog", "emu")]
    draft.write_result("cam", rows[0], reduction=False)
    with monkeypatch.context() as full:
        failing_write(full, 0, OSError(errno.EDQUOT, "Disk quota exceeded"))
        with pytest.raises(StorageError, match=r"peaks\.csv: cannot write: Disk quota exceeded"):
            draft.write_result("cam", rows[1], reduction=False)
    draft.write_result("cam", rows[2], reduction=False)
    path = seal(draft, [image("cat"), image("emu")])
    assert verify(path) == []
    assert open_run(path).results["cam"].tables["peaks"]["image"].tolist() == ["cat", "emu"]


def test_kill_9_leaves_nothing_that_looks_like_a_run(tmp_path):
    script = """if True:
        import itertools, sys
        from pathlib import Path
        from interpretkit.runs.draft import create
        draft = create(Path(sys.argv[1]), "killed")
        for count in itertools.count():
            draft.write_text(f"results/{count}.txt", "x" * 200_000)
            if count == 20:
                print("writing", flush=True)
    """
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    (partial,) = tmp_path.iterdir()
    assert partial.name.startswith(".killed-")
    assert not (partial / "manifest.json").exists()
    with pytest.raises(RecipeError, match="never finished"):
        open_run(partial)
    assert verify(make_run(tmp_path)) == []


def test_the_journal_is_lines_of_json_in_the_order_of_time_and_no_part_of_the_seal(run):
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    kinds = ["run", "file", "event", "result", "result", "figure", "image", "image", "end"]
    assert [line["kind"] for line in lines] == kinds
    assert lines[2].items() >= {"kind": "event", "event": "batch", "facts": {"images": 2}}.items()
    assert sorted(line["time"] for line in lines) == [line["time"] for line in lines]
    (run / "journal.jsonl").unlink()
    assert verify(run) == []
    (run / "events.jsonl").write_text("{}")
    assert verify(run) == []


# Opening


def edit(run, change):
    manifest = json.loads((run / "manifest.json").read_text())
    change(manifest)
    (run / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda run: (run / "manifest.json").unlink(), RecipeError, "is no run directory"),
        (lambda run: (run / "manifest.json").write_text("{"), StorageError, "damaged"),
        (lambda run: (run / "manifest.json").write_text("[" * 100_000), StorageError, "damaged"),
        (lambda run: (run / "manifest.json").write_text("[]"), StorageError, "not that of a run"),
        (lambda run: edit(run, lambda data: data.update(schema="other/1")), StorageError, "not that of a run"),
        (lambda run: edit(run, lambda data: data.pop("steps")), StorageError, "does not say its steps"),
        (
            lambda run: edit(run, lambda data: data.update(schema="interpretkit-run/2", interpretkit="7.0")),
            RecipeError,
            r"format 2, written by interpretkit 7\.0; interpretkit 0\.1\.0 reads formats up to 1",
        ),
    ],
)
def test_what_cannot_be_opened_says_why(run, spoil, error, message):
    spoil(run)
    with pytest.raises(error, match=message):
        open_run(run)


def test_a_long_manifest_is_written_in_little_more_memory_than_it_takes():
    record = {"key": "stage4", "dims": ["image", "y", "x"], "shape": [1, 7, 7], "dtype": "float32", "about": "ä"}
    files = [f"results/cam/image{number}.safetensors" for number in range(4000)]
    manifest = {"maps": [{**record, "file": file, "sha256": "0" * 64} for file in files]}
    tracemalloc.start()
    data = manifest_bytes(manifest)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * len(data)
    expected = json.dumps({**manifest, "seal": json.loads(data)["seal"]}, indent=1, ensure_ascii=False)
    assert data.decode() == expected + "\n"


@pytest.mark.parametrize("path", ["nowhere", "results"])
def test_a_directory_that_is_no_run_is_a_mistake_of_usage(run, path):
    with pytest.raises(RecipeError, match="no run directory"):
        open_run(run / path)


def test_steps_and_images_that_the_run_lacks_are_named_with_the_nearest(run):
    opened = open_run(run)
    with pytest.raises(RecipeError, match=r"no step 'cma'.*'cam'"):
        opened.result("cma")
    with pytest.raises(RecipeError, match=r"no result for image 'catt'.*'cat'"):
        opened.result("cam", image="catt")
    with pytest.raises(RecipeError, match="whole set"):
        opened.result("statistics", image="cat")


def test_reading_never_leaves_the_run(run):
    (run.parent / "secret.safetensors").write_bytes((run / "results/cam/cat.safetensors").read_bytes())
    edit(run, lambda data: data["steps"][0]["maps"][0].update(file="../secret.safetensors"))
    with pytest.raises(StorageError, match="no path inside a run"):
        _ = open_run(run).results["cam"].maps["stage4"]


def flip(run, name):
    data = bytearray((run / name).read_bytes())
    data[-1] ^= 1
    (run / name).write_bytes(data)


def truncate(run, name):
    os.truncate(run / name, 40)


@pytest.mark.parametrize(
    ("spoil", "name"),
    [(flip, CAT), (flip, PEAKS), (truncate, CAT), (truncate, PEAKS), (truncate, "inputs/cat.png")],
)
def test_a_damaged_file_is_named_when_it_is_read(run, spoil, name):
    spoil(run, name)
    found = open_run(run).result("cam", image="cat")
    with pytest.raises(StorageError, match=name):
        _ = found.maps["half"], found.tables["peaks"], found.images[0].pixels


def test_arrays_are_read_when_they_are_looked_at(run):
    for file in (run / "results").rglob("*.*"):
        file.unlink()
    found = open_run(run).results["cam"]
    assert (list(found.maps), list(found.tables), len(found.images)) == (["stage4", "half"], ["peaks"], 2)


# Verifying


def rewrite(run, arrays=None, metadata=None):
    with safetensors.safe_open(run / CAT, "numpy") as file:
        found, says = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118 - no mapping
    safetensors.numpy.save_file({**found, **(arrays or {})}, run / CAT, {**says, **(metadata or {})})


def plant_link(run, name, to):
    (run / name).unlink()
    (run / name).symlink_to(to)


def swap_folder(run):
    (run / "results/cam").rename(run.parent / "elsewhere")
    (run / "results/cam").symlink_to(run.parent / "elsewhere")


def plant_pipe(run):
    (run / "recipe.yaml").unlink()
    os.mkfifo(run / "recipe.yaml")


EDITED = "manifest.json was edited"


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda run: flip(run, CAT), [f"{CAT}: half differs from the manifest"]),
        (lambda run: rewrite(run, {"more": np.ones(1)}), [f"{CAT}: more was not there when the run was sealed"]),
        (
            lambda run: rewrite(run, metadata={"interpretkit": "{}"}),
            [f"{CAT}: what it says of {key} differs from the manifest" for key in ("stage4", "half")],
        ),
        (
            lambda run: safetensors.numpy.save_file({}, run / CAT),
            [f"{CAT}: {key} is missing" for key in ("stage4", "half")],
        ),
        (lambda run: (run / CAT).write_bytes(b""), [f"{CAT}: cannot be read: "]),
        (lambda run: (run / CAT).unlink(), [f"{CAT} is missing"]),
        (lambda run: flip(run, PEAKS), [f"{PEAKS} differs from the manifest"]),
        (
            lambda run: flip(run, "figures/cam/cat--stage4.png"),
            ["figures/cam/cat--stage4.png differs from the manifest"],
        ),
        (lambda run: flip(run, "inputs/dog.png"), ["inputs/dog.png differs from the manifest"]),
        (lambda run: (run / "report.html").unlink(), ["report.html is missing"]),
        (lambda run: (run / "manifest.json").unlink(), ["manifest.json is missing"]),
        (lambda run: (run / "manifest.json").write_text("{'"), ["manifest.json cannot be read: it is damaged"]),
        (lambda run: edit(run, lambda data: data.update(status="failed")), [EDITED]),
        (lambda run: edit(run, lambda data: data.update(score=float("nan"))), ["manifest.json cannot be read: "]),
        (lambda run: edit(run, lambda data: data.update(name="\ud800")), [EDITED]),
        (lambda run: edit(run, lambda data: data.pop("seal")), [EDITED]),
        (lambda run: edit(run, lambda data: data.update(files=3)), [EDITED, "manifest.json does not say"]),
        (
            lambda run: edit(run, lambda data: data["files"].update({"../secret": "00"})),
            [EDITED, "'../secret' is no path inside a run"],
        ),
        (lambda run: (run / "results/cam/.x").write_text(""), ["results/cam/.x was not there when the run was sealed"]),
        (
            lambda run: plant_link(run, "report.html", "recipe.yaml"),
            ["report.html leads through a symbolic link"],
        ),
        (
            lambda run: (run / "extra").symlink_to(run.parent),
            ["extra was not there when the run was sealed"],
        ),
        (
            swap_folder,
            [
                f"{CAT} leads through a symbolic link",
                "results/cam/dog.safetensors leads through a symbolic link",
                f"{PEAKS} leads through a symbolic link",
                "results/cam was not there when the run was sealed",
            ],
        ),
        (plant_pipe, ["recipe.yaml is no plain file"]),
    ],
)
def test_verify_names_every_difference_and_nothing_else(run, spoil, expected):
    assert verify(run) == []
    (run.parent / "secret").write_text("secret")
    spoil(run)
    found = verify(run)
    assert len(found) == len(expected), found
    assert all(difference.startswith(words) for difference, words in zip(found, expected, strict=True)), found


def test_the_bytes_around_an_array_and_what_is_volatile_are_no_difference(run):
    before = (run / CAT).read_bytes()
    rewrite(run, metadata={"another": "entry"})
    edit(run, lambda data: data.update(volatile={"seconds": 7}))
    assert (run / CAT).read_bytes() != before
    assert verify(run) == []


def test_verify_refuses_what_it_cannot_judge(run):
    with pytest.raises(RecipeError, match="no run directory"):
        verify(run / "manifest.json")
    edit(run, lambda data: data.update(schema="interpretkit-run/2"))
    with pytest.raises(RecipeError, match="format 2"):
        verify(run)


# Sealing again


def test_a_new_report_is_sealed_in_the_place_of_the_old_one(run):
    reseal(run, "report.html", b"<p>second</p>")
    assert (run / "report.html").read_bytes() == b"<p>second</p>"
    assert verify(run) == []
    reseal(run, "figures/new.png", b"")
    assert verify(run) == []


def test_a_new_report_does_not_hide_an_edited_manifest(run):
    edit(run, lambda data: data.update(status="failed"))
    with pytest.raises(CheckError, match=r"manifest\.json was edited"):
        reseal(run, "report.html", b"second")
    assert (run / "report.html").read_bytes() == b"<p>first</p>"


@pytest.mark.parametrize("at", [0, 2])
def test_a_report_that_does_not_fit_on_the_disk_leaves_a_whole_one(run, monkeypatch, at):
    with monkeypatch.context() as full:
        failing_write(full, at if at == 0 else 1, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(StorageError, match="No space left"):
            reseal(run, "report.html", b"second")
    expected = [] if at == 0 else ["report.html differs from the manifest"]
    assert verify(run) == expected
    reseal(run, "report.html", b"third")
    assert verify(run) == []


def test_a_report_is_not_written_through_a_link(run):
    (run.parent / "page").write_text("untouched")
    plant_link(run, "report.html", run.parent / "page")
    with pytest.raises(StorageError, match="symbolic link"):
        reseal(run, "report.html", b"second")
    assert (run.parent / "page").read_text() == "untouched"


def test_runs_are_written_and_read_without_torch():
    imports = "import sys, interpretkit.runs.draft, interpretkit.runs.verify"
    script = f"{imports}; print({{'torch', 'matplotlib', 'PIL'}} & sys.modules.keys())"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "set()"
