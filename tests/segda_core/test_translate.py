"""The task `translate`: a new source in GTA5's layout, as the trained generator makes it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from domains import save
from PIL import Image
from trials import run, small_config, write_domains, write_trial

from segda_core.config import Domain
from segda_core.data.index import scan
from segda_core.data.labels import read_label
from segda_core.data.manifest import select_images
from segda_core.data.transforms import resize
from segda_core.errors import ConfigError, DataError, parse
from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles
from segda_core.trials.parents import digest
from segda_core.trials.tasks import TranslateConfig
from segda_core.trials.weights import load_generator, load_trained

NETWORK = {"network": {"trial": "translator", "output": "generator"}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("domains")
    write_domains(folder)
    return folder


@pytest.fixture(scope="module")
def sweep(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's folder with a finished translator, which was given three target images."""
    folder = tmp_path_factory.mktemp("sweep")
    subset = {"name": "target", "subset": {"size": 3}}
    run(write_trial(folder / "translator", small_config(root, "cyclegan", steps=2, target=subset)))
    return folder


def translation(root: Path, **changes: Any) -> TranslateConfig:
    domains = {"source": {"layout": "gta5", "root": str(root / "source")}}
    raw = {"task": "translate", "data": {"name": "small", "domains": domains}, "source": [{"name": "source"}]}
    return parse(TranslateConfig, {**raw, **changes}, "translation")


def test_a_translator_has_no_scores_and_sees_its_own_subset_alone(sweep: Path, root: Path) -> None:
    trial = TrialFiles(sweep / "translator")
    metrics = read_json(trial.metrics)
    assert list(metrics["outputs"]) == ["generator"] and "miou" not in metrics and "quality" not in metrics
    assert (metrics["target_images"], metrics["labelled_images"], metrics["source_images"]) == (3, 0, 12)
    assert metrics["uses_target_labels"] is False
    config = small_config(root, "cyclegan", target={"name": "target", "subset": {"size": 3}})
    subset = [record.name for record in select_images(config).target]
    assert read_json(trial.attempt(1).environment)["target_images"] == subset and len(subset) == 3
    assert not (trial.attempt(1).root / "confusion.npz").exists()
    with pytest.raises(ConfigError, match="cyclegan trained no segmenter"):
        load_trained(trial.attempt(1).checkpoints / "final.pt", torch.device("cpu"))
    with pytest.raises(ConfigError, match="source_only trained no translation network"):
        load_generator(root / "teacher.pt", torch.device("cpu"))


@pytest.mark.parametrize("size", [None, (30, 18)])
def test_every_image_but_those_held_out_is_what_the_generator_makes_of_it(
    sweep: Path, root: Path, tmp_path: Path, size: tuple[int, int] | None
) -> None:
    (root / "source/holdout.txt").write_text("00002.png\n")
    source = [{"name": "source", "holdout": "holdout.txt"}]
    name = f"cycle-{size is None}"
    trial = write_trial(sweep / name, translation(root, source=source, size=size), **NETWORK)
    run(trial)
    metrics = read_json(trial.metrics)
    output = metrics["outputs"]["images"]
    folder = trial.root / output["path"]
    assert digest(folder) == output["sha256"] and (metrics["images"], metrics["source_images"]) == (11, 11)
    made = scan(Domain(layout="gta5", root=str(folder)), "train").records
    assert [record.name for record in made] == [f"{i:05}" for i in range(1, 13) if i != 2]
    generator = load_generator(sweep / "translator/attempts/1/checkpoints/final.pt", torch.device("cpu"))
    for record in made:
        original = root / "source"
        label = original / f"labels/{record.name}.png"
        assert record.label is not None and record.label.read_bytes() == label.read_bytes()
        pixels = np.asarray(Image.open(original / f"images/{record.name}.png"))
        inputs = pixels if size is None else resize(pixels, size)
        with torch.no_grad():
            unit = torch.from_numpy(inputs.copy()).permute(2, 0, 1)[None] / 127.5 - 1
            wanted = ((generator(unit)[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
        wanted = wanted if size is None else resize(wanted, (64, 32))
        assert np.array_equal(np.asarray(Image.open(record.image)), wanted)


def test_labels_of_train_ids_become_label_ids_and_cities_a_flat_folder(sweep: Path, root: Path) -> None:
    domain = Domain(layout="cityscapes", root=str(root / "target"))
    for record in scan(domain, "train").records:
        label = root / f"target/gtFine/train/{record.name}"
        assert record.label is not None
        save(label.with_name(f"{label.name}_gtFine_labelTrainIds.png"), read_label(record.label))
        record.label.unlink()
    domains = {"camera": {"layout": "cityscapes", "root": str(root / "target")}}
    config = translation(root, data={"name": "small", "domains": domains}, source=[{"name": "camera"}])
    trial = write_trial(sweep / "camera", config, **NETWORK)
    run(trial)
    made = scan(Domain(layout="gta5", root=str(trial.root / "attempts/1/images")), "train").records
    originals = scan(domain, "train").records
    assert [record.name for record in made] == [record.name.replace("/", "_") for record in originals]
    for record, original in zip(made, originals, strict=True):
        assert record.label is not None and original.label is not None
        assert np.array_equal(read_label(record.label), read_label(original.label))


def test_sources_with_equal_names_are_refused(sweep: Path, root: Path) -> None:
    domains = {name: {"layout": "gta5", "root": str(root / "source")} for name in ("one", "two")}
    data = {"name": "small", "domains": domains}
    config = translation(root, data=data, source=[{"name": "one"}, {"name": "two"}])
    with pytest.raises(DataError, match=r"12 images .* same name, the first 00001"):
        run(write_trial(sweep / "twice", config, **NETWORK))
