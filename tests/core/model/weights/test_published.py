"""The authors' server is played by one on this machine; `TORCH_HOME` is a folder of the test."""

from __future__ import annotations

import hashlib
import io
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
import torch
from torch import nn

from interpretkit import ModelBuilder, Published, RecipeError, StorageError, WeightsError, load_state
from interpretkit.model.model import Model
from interpretkit.model.weights import servers
from interpretkit.model.weights.load import load
from interpretkit.recipe.entries import PublishedWeights


def checkpoint():
    buffer = io.BytesIO()
    torch.save({"weight": torch.full((1, 2), 0.5), "bias": torch.zeros(1)}, buffer)
    return buffer.getvalue()


DATA = checkpoint()
DIGEST = hashlib.sha256(DATA).hexdigest()


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/silent.pth":
            self.server.released.wait(60)
            return
        status = {"/absent.pth": 404, "/down.pth": 503}.get(self.path, 200)
        self.send_response(status)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA)

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    server.released = Event()
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nobody():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "hub" / "checkpoints"


def loaded(server, file="tiny.pth", *, sha256=DIGEST[:8], name="DEFAULT", otherwise=None, width=2):
    class Tiny(ModelBuilder):
        name = "tiny"

        def build(self, state):
            module = nn.Linear(width, 1)
            if state is not None:
                load_state(module, state)
            return Model(module=module)

        def published(self, name):
            known = {"DEFAULT": Published(url=f"{server}/{file}", sha256=sha256)}
            return known[name] if name in known else super().published(name)

    weights = PublishedWeights(published=name, otherwise=otherwise)
    return load(Tiny(Tiny.Options()), weights, seed=0, device="cpu", dtype="float32")


@pytest.mark.parametrize("sha256", [DIGEST[:8], DIGEST.upper(), ""])
def test_published_weights_are_downloaded_once_and_then_used_without_the_server(server, nobody, folder, sha256):
    first = loaded(server, sha256=sha256)
    assert first.weights.kind == "published"
    assert first.weights.source == f"published DEFAULT: {server}/tiny.pth"
    assert first.weights.sha256 == DIGEST
    assert first.notes == ()
    assert [each.name for each in folder.iterdir()] == ["tiny.pth"]
    again = loaded(nobody, sha256=sha256)
    assert torch.equal(again.module.weight, torch.full((1, 2), 0.5))


@pytest.mark.parametrize("otherwise", [None, "random"])
def test_a_download_with_another_hash_is_an_error_and_is_not_kept(server, folder, otherwise):
    with pytest.raises(WeightsError, match=r"tiny\.pth: the download is not the published file.*deadbeef"):
        loaded(server, sha256="deadbeef", otherwise=otherwise)
    assert list(folder.iterdir()) == []


def test_a_file_that_was_there_before_is_compared_with_the_hash_too(nobody, folder):
    folder.mkdir(parents=True)
    (folder / "tiny.pth").write_bytes(DATA)
    with pytest.raises(WeightsError, match=f"has the SHA-256 {DIGEST}, not deadbeef"):
        loaded(nobody, sha256="deadbeef", otherwise="random")


@pytest.mark.parametrize(
    ("file", "why"), [("silent.pth", "no answer within 0.3 s"), ("down.pth", "it answers with status 503")]
)
def test_a_server_that_cannot_be_reached_is_given_up_with_the_reason(server, monkeypatch, file, why):
    monkeypatch.setattr(servers, "ANSWER_SECONDS", 0.3 if file == "silent.pth" else 60.0)
    with pytest.raises(servers.UnreachableError, match=rf"the server cannot be reached: {why} \(download .* `path:`"):
        loaded(server, file)


def test_random_weights_stand_in_for_a_server_that_is_gone_where_the_recipe_allows_it(nobody):
    with pytest.raises(servers.UnreachableError, match="the server cannot be reached"):
        loaded(nobody)
    model = loaded(nobody, otherwise="random")
    assert (model.weights.kind, model.weights.source, model.notes) == ("random", "published DEFAULT", ("untrained",))
    assert model.weights.fallback.startswith("the server cannot be reached: ")


def test_a_wrong_name_or_file_is_an_error_even_where_random_weights_may_stand_in(server):
    with pytest.raises(WeightsError, match=r"absent\.pth: the server has no such file"):
        loaded(server, "absent.pth", otherwise="random")
    with pytest.raises(RecipeError, match="model 'tiny' has no published weights 'V1'"):
        loaded(server, name="V1", otherwise="random")
    with pytest.raises(WeightsError, match="do not fit"):
        loaded(server, width=3, otherwise="random")


def test_a_folder_that_cannot_be_written_is_a_fault_of_the_disk(server, folder):
    folder.parent.touch()
    with pytest.raises(StorageError, match="folder of checkpoints cannot be written"):
        loaded(server, otherwise="random")
