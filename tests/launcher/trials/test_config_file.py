"""config.yaml read key by key is what reading it whole gives, errors included."""

from pathlib import Path

import pytest

from launcher.trials.config_file import load_config
from segda_core.errors import ConfigError, load_yaml

TEXTS = {
    "as the launcher writes it": "data:\n  name: toy\nsource:\n- name: render\n  holdout: null\nseed: 3\n",
    "with comments, an empty line and a document's start": "# mine\n---\nseed: 3\n\n# more\nsteps: 5\n",
    "in one line": "{seed: 3, steps: 5}\n",
    "an anchor used further down": "one: &lr {lr: 0.1}\ntwo: *lr\n",
    "empty": "",
    "a list": "- 1\n- 2\n",
    "a word": "seed\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_file_reads_as_if_whole(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert load_config(path) == load_yaml(path)


@pytest.mark.parametrize("text", ["seed: 3\nsteps: 5\nseed: 4\n", "seed: [\nsteps: 5\n", "seed: \xff"])
def test_a_broken_file_is_refused_in_the_same_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as whole:
        load_yaml(path)
    with pytest.raises(ConfigError) as parts:
        load_config(path)
    assert parts.value.problems == whole.value.problems


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "config.yaml")
