"""A result gets its final name once, whoever else tries at the same moment."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segda_core.layout import publish


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
