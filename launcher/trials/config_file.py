"""Reading thousands of config.yaml: what is written alike in several of them is parsed once."""

import re
from functools import lru_cache
from pathlib import Path

from segda_core.errors import Json, load_yaml, parse_yaml

_BLOCK = re.compile(r"^(?=\w)", re.MULTILINE)
"""Where a key of the file itself begins, in the form that the launcher writes."""


def load_config(path: Path) -> Json:
    """The file's YAML, key by key; `ConfigError` where it cannot be read.

    A file in another form, or one that is wrong, is read whole, with its errors.
    """
    try:
        text = path.read_text(encoding="utf-8")
        blocks: list[dict[str, Json]] = [_parse_block(block) or {} for block in _BLOCK.split(text)]
        merged = {key: value for block in blocks for key, value in block.items()}
    except (OSError, AttributeError, ValueError):
        return load_yaml(path)
    has_each_once = len(merged) == sum(map(len, blocks))
    return merged if merged and has_each_once else load_yaml(path)


_parse_block = lru_cache(maxsize=4096)(parse_yaml)
