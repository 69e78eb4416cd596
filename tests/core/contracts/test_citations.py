"""Keys of BibTeX entries, turned into what to cite."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import interpretkit as ik
from interpretkit.contracts.kinds import CHECK, MODEL, VISUALIZER
from interpretkit.contracts.registry import discover
from interpretkit.testing import check_visualizer

ENTRIES = r"""
An entry as a journal gives it, and one with nothing but a title.

@string{venue = "Journal of Layers"}

@Article{mueller2020layers,
  Author  = "M{\"u}ller, Klaus and Ada van Lovelace and {Layer Lab}",
  title   = {Layers \& 100\% of {CNN}s},
  journal = venue,
  year    = 2020,
  pages   = {1--17},
  doi     = "10.1000/a_b",
}

@software{layers, title = {Layers & more}}

@misc{many, author = {A, A and B, B and C, C and D, D}, title = {Many}, eprint = {1}, archiveprefix = {arXiv}}

@misc{some, author = {A, A and others}, title = {Some}, eprint = {1}, archiveprefix = {HAL}}
"""

PLUGIN = """
import interpretkit as ik

class Faded(ik.Visualizer):
    '''Nothing.'''
    name = "faded"
    citations = CITATIONS

    def compute(self, captured):
        return ik.Result()

@ik.hookimpl
def interpretkit_visualizers():
    yield Faded
"""

RECIPE = """\
schema: interpretkit/1
name: cited
model: {uses: repvgg, with: {variant: A0}, weights: random}
inputs: ["sample:grace_hopper"]
steps: [{id: faded, uses: faded}]
"""


def written(folder, *, citations, entries=ENTRIES):
    """Write a plugin file, with its entries beside it; `None` are none."""
    (folder / "plugin.py").write_text(PLUGIN.replace("CITATIONS", repr(citations)), encoding="utf-8")
    if entries is not None:
        (folder / "references.bib").write_text(entries, encoding="utf-8")
    return folder / "plugin.py"


def offer_of(path, *, name="cited_plugin"):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.Faded


def started(folder, *arguments):
    command = [sys.executable, "-m", "interpretkit", *arguments, "--plugin", "plugin.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_an_entry_is_printed_as_it_is_and_read_without_latex(tmp_path):
    offer = offer_of(written(tmp_path, citations={"mueller2020layers": "figure 2"}))
    (citation,) = ik.citations_of(offer)
    names, title = "Müller, van Lovelace, Layer Lab", "Layers & 100% of CNNs"
    assert str(citation) == f"{names}, {title}, Journal of Layers 2020, doi:10.1000/a_b (figure 2)"
    assert citation.bibtex.splitlines() == [
        "@article{mueller2020layers,",
        r"""  Author = {M{\"u}ller, Klaus and Ada van Lovelace and {Layer Lab}},""",
        r"  title = {Layers \& 100\% of {CNN}s},",
        "  journal = {Journal of Layers},",
        "  year = {2020},",
        "  pages = {1--17},",
        "  doi = {10.1000/a_b},",
        "}",
    ]


def test_many_authors_are_shortened_and_only_numbers_of_arxiv_are_called_so(tmp_path):
    offer = offer_of(written(tmp_path, citations={"some": "", "layers": "", "many": ""}))
    assert [str(citation) for citation in ik.citations_of(offer)] == [
        "A et al., Some",
        "Layers & more",
        "A et al., Many, arXiv:1",
    ]


def test_a_class_that_derives_from_another_plugins_has_that_ones_entries(tmp_path):
    base = offer_of(written(tmp_path, citations={"layers": ""}), name="cited_base")
    (tmp_path / "own").mkdir()
    path = written(tmp_path / "own", citations={"mine": ""}, entries="@misc{mine, title={Mine}}")
    own = offer_of(path, name="cited_own")
    inherited = type("Inherited", (base,), {"__module__": own.__module__})
    both = type("Both", (base,), {"__module__": own.__module__, "citations": {**own.citations, **base.citations}})
    assert [citation.title for citation in ik.citations_of(inherited)] == ["Layers & more"]
    assert [citation.title for citation in ik.citations_of(both)] == ["Mine", "Layers & more"]


NO_BIBTEX = "cannot be read as BibTeX (close every brace; give every key, and every field of an entry, once)"
NO_MAPPING = 'the citations of \'faded\' are no mapping of keys to remarks (say `citations = {"key": ""}`)'


@pytest.mark.parametrize(
    ("citations", "entries", "message"),
    [
        ({"layer": ""}, ENTRIES, "PLUGIN: 'faded' cites 'layer', which is not in FILE (did you mean 'layers'?)"),
        ({"zzz": ""}, ENTRIES, "PLUGIN: 'faded' cites 'zzz', which is not in FILE (add its BibTeX entry)"),
        ({"layers": ""}, None, "PLUGIN: 'faded' cites 'layers', which is not in FILE (there is no such file)"),
        ({"a": ""}, "@misc{a, title={A}}\n@misc{a, title={B}}", f"FILE:2: {NO_BIBTEX}"),
        ({"a": ""}, "\n@misc{a, title={A}", f"FILE:2: {NO_BIBTEX}"),
        (["layers"], ENTRIES, f"PLUGIN: {NO_MAPPING}"),
    ],
)
def test_what_is_wrong_with_citations_is_said_with_plugin_key_and_file(tmp_path, citations, entries, message):
    offer = offer_of(written(tmp_path, citations=citations, entries=entries))
    with pytest.raises(ik.PluginError) as caught:
        ik.citations_of(offer)
    places = {"PLUGIN": tmp_path / "plugin.py", "FILE": tmp_path / "references.bib"}
    for word, path in places.items():
        message = message.replace(word, str(path))
    assert str(caught.value) == message
    with pytest.raises(AssertionError) as broken:
        check_visualizer(offer)
    assert str(broken.value) == str(caught.value)


def test_a_file_that_is_no_text_is_named(tmp_path):
    offer = offer_of(written(tmp_path, citations={"layers": ""}))
    (tmp_path / "references.bib").write_bytes(b"\xff\xfe")
    with pytest.raises(ik.PluginError, match=r"references\.bib: cannot be read: UnicodeDecodeError"):
        ik.citations_of(offer)


def test_a_missing_entry_stops_what_asks_for_it_and_no_run(tmp_path):
    written(tmp_path, citations={"mueller2020layer": ""})
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    for command in (("show", "faded"), ("cite", "recipe.yaml")):
        done = started(tmp_path, *command)
        assert done.returncode == 3
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert "did you mean 'mueller2020layers'?" in done.stderr
    assert started(tmp_path, "run", "recipe.yaml").returncode == 0


def test_every_entry_of_a_built_in_plugin_is_used_and_the_same_in_all_of_them():
    registry = discover()
    found = [each for kind in (CHECK, MODEL, VISUALIZER) for each in registry.of(kind).values()]
    offers = [each.offer for each in found if each.plugin.distribution == "interpretkit"]
    cited: dict[str, set[str]] = {}
    entries: dict[str, str] = {}
    for offer in offers:
        keys = cited.setdefault(offer.__module__.partition(".")[0], set())
        for citation in ik.citations_of(offer):
            keys.add(citation.key)
            assert entries.setdefault(citation.key, citation.bibtex) == citation.bibtex
    for package, keys in cited.items():
        folder = importlib.util.find_spec(package).submodule_search_locations[0]
        assert keys == keys_in(folder), package


def keys_in(folder):
    """Return the keys of the entries of a folder, found by their first lines."""
    path = Path(folder) / "references.bib"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {line.partition("{")[2].rstrip(",") for line in lines if line.startswith("@")}


def test_the_parser_is_loaded_only_when_citations_are_asked_for(tmp_path):
    code = "import sys; from interpretkit.__main__ import main; sys.argv[1:] = {}; sys.exit(main())"
    written(tmp_path, citations={"layers": ""})
    for arguments, loaded in ((["plugins"], False), (["show", "grad_cam"], True)):
        watched = f"import atexit, sys; atexit.register(lambda: print('bibtexparser' in sys.modules)); {code}"
        command = [sys.executable, "-c", watched.format(arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == str(loaded)
