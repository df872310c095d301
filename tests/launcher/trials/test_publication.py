"""A result gets its final name once, whoever else tries at the same moment."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segda_core.files import publish, read_json


def refuse(*_: object) -> None:
    raise PermissionError("this file system has no hard links")


@pytest.mark.parametrize("links", [True, False])
def test_one_of_many_publications_succeeds(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    results = [tmp_path / f"{number}.json" for number in range(32)]
    for result in results:
        result.write_text(result.stem * 1000)
    final = tmp_path / "metrics.json"
    with ThreadPoolExecutor(16) as pool:
        published = list(pool.map(lambda result: publish(result, final), results))
    assert published.count(True) == 1
    assert final.read_text() == results[published.index(True)].read_text()


@pytest.mark.parametrize(
    "text", ['{"a": [1, 1.5, null, true], "a": 2}', "1e-7", "NaN", '"\\udc80.png"', "12345678901234567890123"]
)
def test_json_reads_as_the_standard_library_reads_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(text)
    assert repr(read_json(path)) == repr(json.loads(text))


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff", b"{} {}"])
def test_json_that_is_cut_off_is_an_error_in_its_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(content)
    with pytest.raises(ValueError) as expected:
        json.loads(content)
    with pytest.raises(ValueError) as raised:
        read_json(path)
    assert str(raised.value) == str(expected.value)
