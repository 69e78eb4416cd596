from __future__ import annotations

import io
import os

import pytest

from interpretkit.cli.terminal import write_everything


def written(text, encoding):
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, encoding=encoding, newline="")
    write_everything(stream)
    stream.write(text)
    stream.flush()
    return data.getvalue()


@pytest.mark.parametrize("encoding", ["cp1251", "cp932", "latin-1", "ascii", "cp437", "utf-16", "utf-8"])
def test_every_character_is_written_and_those_of_the_encoding_as_they_are(encoding):
    everything = "".join(chr(code) for code in range(0x20, 0x3000))
    kept = "".join(each for each in everything if each.encode(encoding, "ignore").decode(encoding))
    assert written(kept, encoding) == kept.encode(encoding)
    lacking = "".join(each for each in everything if each not in kept)
    assert all(0x20 <= code < 0x7F for code in written(lacking, encoding)) or not lacking


def test_what_is_lacking_can_still_be_read():
    assert written("7×7 → 3×3 … “γ” 漢", "ascii") == b'7x7 -> 3x3 ... "\\u03b3" \\u6f22'


def test_the_name_of_a_file_is_written_in_its_own_bytes():
    name = b"run-\xff"
    assert written(os.fsdecode(name), "utf-8") == name


def test_there_may_be_no_stream():
    write_everything(None)
