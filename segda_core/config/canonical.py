"""What equal trials have in common: raw configurations without what their method does not open."""

from typing import Any

from segda_core.config.methods import METHOD_CONFIGS


def canonical(raw: dict[str, Any]) -> dict[str, Any]:
    """Drop what the method does not open and fill in its target labels, so that equal trials hash equally."""
    method, target = raw.get("method"), raw.get("target")
    name = method.get("name") if isinstance(method, dict) else None
    if name not in METHOD_CONFIGS or not isinstance(target, dict):
        return raw  # the field errors say more
    settings = METHOD_CONFIGS[name]
    transforms = raw.get("transforms")
    unused = set()
    if "source" not in settings.streams:
        raw = {**raw, "source": [], "rare_class_sampling": None}
        unused.add("source")
    if not settings.trains_segmenter():
        raw = _without_segmenter(raw)
    if settings.target_labels == "never" and target.get("labelled") is not None:
        raise ValueError(f"target.labelled is set, but method {name} never sees target labels")
    if set(settings.streams) == {"source"}:
        target = {**target, "subset": None, "labelled": None}
        unused.add("target")
    else:
        target = canonical_target(target, settings.target_labels)
    if isinstance(transforms, dict):
        raw = {**raw, "transforms": {key: value for key, value in transforms.items() if key not in unused}}
    return {**raw, "target": target}


def _without_segmenter(raw: dict[str, Any]) -> dict[str, Any]:
    """Without model and what is only its; of the evaluation stays the size, which has no default."""
    only_its = ("model", "optimizer", "schedule", "sync_batch_norm")
    kept = {key: value for key, value in raw.items() if key not in only_its}
    evaluation = raw.get("evaluation")
    if isinstance(evaluation, dict) and "size" in evaluation:
        kept["evaluation"] = {"size": evaluation["size"]}
    return kept


def canonical_target(target: dict[str, Any], labels: str) -> dict[str, Any]:
    """A target whose subset is opened, its labels `required`, `optional` or `never` seen."""
    subset, labelled = target.get("subset"), target.get("labelled")
    subset = {} if subset is None else subset
    if not isinstance(subset, dict) or not isinstance(labelled, dict | None):
        return target
    size = subset.get("size", "all")
    if labels == "required" and labelled is None:
        labelled = {}
    if labelled is not None and labelled.get("size", "all") == "all":
        labelled = {**labelled, "size": size}
    if (
        labelled is not None
        and isinstance(size, int)
        and isinstance(labelled["size"], int)
        and labelled["size"] > size
    ):
        raise ValueError(f"target.labelled.size {labelled['size']} is more than target.subset.size {size}")
    if subset.get("pick") == "first":
        subset = {**subset, "seed": 0}
    return {**target, "subset": subset, "labelled": labelled}
