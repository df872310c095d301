import hashlib
import subprocess

import torch

from segda_core.trials.environment import code_version, float32_settings, installed


def git(folder, *arguments):
    names = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", "-C", folder, *names, *arguments], check=True, capture_output=True)
    return done.stdout


def test_a_checkout_is_known_by_commit_and_changes(tmp_path):
    git(tmp_path, "init", "-q")
    code = tmp_path / "segda_core/code.py"
    code.parent.mkdir()
    code.write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD").decode().strip()
    assert code_version(tmp_path) == {"commit": commit, "diff_hash": None, "snapshot": None}

    (tmp_path / "notes.md").write_text("no code")
    assert code_version(tmp_path) == {"commit": commit, "diff_hash": None, "snapshot": None}
    code.write_text("a = 2\n")
    changes = hashlib.sha256(git(tmp_path, "diff", "--binary", "HEAD")).hexdigest()
    assert code_version(tmp_path) == {"commit": commit, "diff_hash": changes, "snapshot": None}


def test_an_installed_package_has_no_commit(tmp_path):
    assert code_version(tmp_path) == {"commit": None, "diff_hash": None, "snapshot": None}


def test_versions():
    assert installed("numpy") is not None
    assert installed("no-such-package") is None


def test_how_float32_is_computed_follows_the_settings():
    assert float32_settings() == {"matmul": "highest", "cudnn_tf32": True}
    try:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = False
        assert float32_settings() == {"matmul": "high", "cudnn_tf32": False}
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True
