"""The hub is played by a server on this machine; the library reads its settings at import: each is a process."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Event, Thread

import pytest
import torch
from safetensors.torch import save
from torch import nn

WEIGHTS = {
    name: torch.full_like(tensor, 0.5)
    for name, tensor in nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).state_dict().items()
}
COMMIT = "c0ffee" * 6 + "beef"
FILES = {
    "tiny/good": save(WEIGHTS),
    "tiny/spoiled": save(WEIGHTS, {"about": "damaged later"}),
    "tiny/page": b"<!doctype html><p>moved</p>",
    "tiny/misfit": save({"weight": torch.ones(1)}),
}
FIRST, *OTHERS = WEIGHTS
INDEX = json.dumps({"weight_map": {FIRST: "a.safetensors", **dict.fromkeys(OTHERS, "b.safetensors")}})
PICKLED = BytesIO()
torch.save({"state_dict": WEIGHTS}, PICKLED)
IN_ROOT = {
    "tiny/pickled/pytorch_model.bin": PICKLED.getvalue(),
    "tiny/sharded/model.safetensors.index.json": INDEX.encode(),
    "tiny/sharded/a.safetensors": save({FIRST: WEIGHTS[FIRST]}),
    "tiny/sharded/b.safetensors": save({name: WEIGHTS[name] for name in OTHERS}),
}
ERRORS = {"tiny/absent": (404, "RepoNotFound"), "tiny/down": (503, ""), "tiny/gated": (403, "GatedRepo")}


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does: metadata in the headers of a redirect to another host, which has the bytes."""

    def do_HEAD(self):
        self.server.asked.append(self.path)
        repository, _, rest = self.path.strip("/").partition("/resolve/")
        if repository == "tiny/silent":
            self.server.released.wait(60)
        elif repository == "tiny/portal":
            self.answer(200, {"Content-Type": "text/html"}, b"<html>please log in</html>")
        elif repository in ERRORS:
            status, code = ERRORS[repository]
            self.answer(status, {"X-Error-Code": code})
        elif not rest.startswith(("main/", COMMIT)):
            self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        elif not rest.endswith("/weights/model.safetensors") and self.in_root(repository, rest) not in IN_ROOT:
            self.answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            name = self.in_root(repository, rest)
            data = IN_ROOT.get(name) or FILES[repository]
            etag = f'"{hashlib.sha256(data).hexdigest()}"'
            place = f"http://localhost:{self.server.server_port}/bytes/{name if name in IN_ROOT else repository}"
            linked = {"X-Linked-ETag": etag, "X-Linked-Size": str(len(data)), "X-Repo-Commit": COMMIT}
            self.answer(302, {**linked, "Location": place})

    def do_GET(self):
        self.answer(200, {}, {**FILES, **IN_ROOT}[self.path.removeprefix("/bytes/")])

    @staticmethod
    def in_root(repository, rest):
        return f"{repository}/{rest.partition('/')[2]}"

    def answer(self, status, headers, body=b""):
        self.send_response(status)
        # The library logs this warning to the terminal.
        for name, value in {**headers, "Content-Length": str(len(body)), "X-HF-Warning": "login; log in"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments):
        """Say nothing."""


@contextmanager
def serving():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    server.released, server.asked = Event(), []
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.asked
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def process(script, *, endpoint, home, **environment):
    """Run `script` where `endpoint` is the hub; return what it prints, and make sure that nothing else is printed."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("HF_", "HTTP"))}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "*"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


LOAD = """
import json
from torch import nn
from interpretkit.model.weights import servers
from interpretkit.contracts.builder import ModelBuilder
from interpretkit.errors import InterpretkitError
from interpretkit.model.model import Model
from interpretkit.recipe.entries import HubWeights
from interpretkit.model.weights.load import load
from interpretkit.model.weights.fitting import load_state

class Tiny(ModelBuilder):
    name = "tiny"
    def build(self, state):
        module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        if state is not None:
            load_state(module, state)
        return Model(module=module)

def outcome(repository, **more):
    servers.ANSWER_SECONDS = 0.5 if repository == "tiny/silent" else 60.0
    weights = HubWeights(**{"hub": repository, "file": "weights/model.safetensors", **more})
    try:
        model = load(Tiny(Tiny.Options()), weights, seed=0, device="cpu", dtype="float32")
    except InterpretkitError as error:
        return f"{type(error).__name__} {error.exit_code}: {error}"
    about = model.weights
    return [about.kind, about.source, about.sha256, about.fallback, *model.notes, model.module[0].bias[0].item()]

print(json.dumps([outcome(name, **more) for name, more in CASES]))
"""

FETCH = """
import json, sys
from interpretkit.model.weights import hub
from interpretkit.model.weights import load as weights
from interpretkit.errors import InterpretkitError

def outcome(repository, revision):
    try:
        found = hub.fetch(repository, "weights/model.safetensors", revision=revision)
    except InterpretkitError as error:
        return f"{type(error).__name__} {error.exit_code}: {error.message}"
    return [found.path.is_file(), found.commit, found.sha256]

print(json.dumps([outcome(*case) for case in CASES] + ["torch" in sys.modules]))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def answers(home):
    """Outcomes of a hub that can be reached, by case."""
    cases = {
        "good": ("tiny/good", {}),
        "spoiled": ("tiny/spoiled", {}),
        "again, by commit": ("tiny/good", {"revision": COMMIT}),
        "absent repository": ("tiny/absent", {"otherwise": "random"}),
        "gated repository": ("tiny/gated", {"otherwise": "random"}),
        "absent revision": ("tiny/good", {"otherwise": "random", "revision": "v2"}),
        "absent file": ("tiny/good", {"otherwise": "random", "file": "other.safetensors"}),
        "bad name": ("tiny/go--od", {"otherwise": "random"}),
        "bad path": ("tiny/good", {"otherwise": "random", "file": "../weights/model.safetensors"}),
        "pickled": ("tiny/pickled", {"file": None}),
        "sharded": ("tiny/sharded", {"file": None}),
        "page": ("tiny/page", {"otherwise": "random"}),
        "misfit": ("tiny/misfit", {"otherwise": "random"}),
        "silent": ("tiny/silent", {}),
        "silent, otherwise": ("tiny/silent", {"otherwise": "random"}),
        "portal": ("tiny/portal", {}),
        "down": ("tiny/down", {}),
    }
    with serving() as (endpoint, asked):
        outcomes = process(f"CASES = {list(cases.values())!r}\n{LOAD}", endpoint=endpoint, home=home)
    return {**dict(zip(cases, outcomes, strict=True)), "asked": asked}


@pytest.mark.parametrize("case", ["good", "again, by commit"])
def test_weights_come_from_the_hub_with_commit_and_hash(answers, case):
    digest = hashlib.sha256(FILES["tiny/good"]).hexdigest()
    assert answers[case] == ["hub", f"hub tiny/good@{COMMIT}: weights/model.safetensors", digest, "", 0.5]


@pytest.mark.parametrize(
    ("case", "file"), [("pickled", "pytorch_model.bin"), ("sharded", "model.safetensors.index.json")]
)
def test_without_a_file_the_first_is_taken_that_the_repository_has(answers, case, file):
    digest = hashlib.sha256(IN_ROOT[f"tiny/{case}/{file}"]).hexdigest()
    assert answers[case] == ["hub", f"hub tiny/{case}@{COMMIT}: {file}", digest, "", 0.5]


def test_a_copy_of_a_commit_is_used_without_asking(answers):
    assert "/tiny/good/resolve/main/weights/model.safetensors" in answers["asked"]
    assert not [path for path in answers["asked"] if COMMIT in path and "sharded" not in path]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("absent repository", "hub tiny/absent@main: weights/model.safetensors: the hub has no such repository"),
        ("gated repository", "or not for you"),
        ("absent revision", "no such revision"),
        ("absent file", "no such file"),
        ("bad name", "the hub has no such names"),
        ("bad path", "'../weights/model.safetensors' is no path inside a repository"),
        ("page", "web page"),
        ("misfit", "do not fit"),
    ],
)
def test_a_wrong_name_or_file_is_an_error_even_where_random_weights_may_stand_in(answers, case, words):
    assert re.match("(WeightsError|MissingFileError) 4: ", answers[case])
    assert words in answers[case]


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("silent", "no answer within 0.5 s"),
        ("portal", "what answers is no hub"),
        ("down", "it answers with status 503"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_given_up_with_the_reason(answers, case, why):
    assert answers[case] == (
        f"UnreachableError 4: hub tiny/{case}@main: weights/model.safetensors: the hub cannot be reached: {why} "
        "(download the file by hand and give `path:`, or allow `otherwise: random`)"
    )


def test_random_weights_stand_in_for_a_hub_that_never_answers_where_the_recipe_allows_it(answers):
    reason = "the hub cannot be reached: no answer within 0.5 s"
    assert answers["silent, otherwise"][:5] == ["random", "tiny/silent", "", reason, "untrained"]


def test_without_a_hub_the_cache_is_used_then_what_the_recipe_allows(answers, home):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    [spoiled] = home.glob("hub/models--tiny--spoiled/blobs/*")
    spoiled.write_bytes(spoiled.read_bytes()[:-1] + b"\x01")
    cases = [("tiny/good", {}), ("tiny/new", {"otherwise": "random"}), ("tiny/new", {}), ("tiny/spoiled", {})]
    cases += [("tiny/pickled", {"file": None}), ("tiny/sharded", {"file": None})]
    cached, allowed, refused, damaged, *others = process(f"CASES = {cases!r}\n{LOAD}", endpoint=endpoint, home=home)
    assert cached == answers["good"]
    assert others == [answers["pickled"], answers["sharded"]]
    assert allowed[:2] == ["random", "tiny/new"]
    assert allowed[3].startswith("the hub cannot be reached: ")
    assert refused.startswith("UnreachableError 4: ")
    assert answers["spoiled"][2] == spoiled.name
    assert damaged.startswith("WeightsError 4: ")
    assert f", not {spoiled.name} (it is damaged" in damaged


def test_offline_the_cache_is_used_without_loading_torch(answers, home):
    cases = [("tiny/good", "main"), ("tiny/good", COMMIT), ("tiny/good", "0" * 40)]
    found = [True, COMMIT, hashlib.sha256(FILES["tiny/good"]).hexdigest()]
    outcomes = process(f"CASES = {cases!r}\n{FETCH}", endpoint="http://127.0.0.1:9", home=home, HF_HUB_OFFLINE="1")
    assert outcomes == [
        found,
        found,
        "UnreachableError 4: the hub cannot be reached: HF_HUB_OFFLINE forbids to ask",
        False,
    ]


def test_a_cache_that_cannot_be_written_is_a_fault_of_the_disk(tmp_path):
    (tmp_path / "file").touch()
    with serving() as (endpoint, _):
        script = f"CASES = [('tiny/good', 'main')]\n{FETCH}"
        [outcome, _] = process(script, endpoint=endpoint, home=tmp_path / "file" / "home")
    assert outcome.startswith("StorageError 6: the cache of the hub cannot be written: [Errno 20] Not a directory")
