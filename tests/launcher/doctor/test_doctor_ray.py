"""The check of a Ray head, with one that runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.doctor import ray
from launcher.doctor.finding import Level, Scope

pytestmark = pytest.mark.processes


def test_the_head_of_make_dashboard_is_asked(
    stand_in: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGDA_RUNTIME_DIR", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY"):  # of no use on loopback
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    stand_in(tmp_path)
    head = next(ray.check_ray(Scope(tmp_path)))
    assert head.level is Level.OK, head.message
    assert head.facts["cpus"] == 2
