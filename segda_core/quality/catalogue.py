"""Every label-free metric: its name in metrics.json, which way is better, and what it says. Free of torch."""

from typing import NamedTuple


class Metric(NamedTuple):
    """What a reader needs to know of one metric."""

    sign: int
    """1 where higher is better, -1 where lower is; fixed before any result was looked at."""
    meaning: str


METRICS: dict[str, Metric] = {
    "ent": Metric(-1, "mean entropy of target predictions / log 19; a collapsed network has 0"),
    "mi": Metric(1, "(entropy of the mean prediction - mean entropy) / log 19, on the target"),
    "cons": Metric(1, "share of target cells predicted alike when mirrored and at 0.75 of the size"),
    "prior": Metric(-1, "Jensen-Shannon divergence of source labels and mean target prediction (bits)"),
    "mmd": Metric(-1, "unbiased MMD^2 of image features between the domains, five RBF kernels"),
    "mmd_class": Metric(
        -1, "the same of cells predicted as one class, mean over classes with 50 in each domain"
    ),
    "pad": Metric(
        -1, "2 (1 - 2 error) of a linear classifier of domains on image features, mean of 5 splits"
    ),
    "head": Metric(-1, "mean KL(main || auxiliary head) on the target"),
    "head_disagreement": Metric(-1, "share of target cells that the two heads predict differently"),
    "head_certainty": Metric(1, "mean exp(-KL(main || auxiliary)) on the target"),
    "ema": Metric(1, "share of target cells that the student and its EMA teacher predict alike"),
    "src": Metric(1, "mIoU on held-out source images"),
}
"""What every trial measures at its end; null where the method or model lacks what a metric needs,
or where predictions overflow."""

FULL_METRICS: dict[str, Metric] = {
    **METRICS,
    "cons_miou": Metric(1, "mIoU between predictions and those of warped images, mean over all warps"),
    "cons_kl": Metric(-1, "symmetric KL between them"),
    "prior_bands": Metric(-1, "prior within each of 8 horizontal bands, mean"),
    "dacc": Metric(-1, "held-out accuracy of a fresh discriminator of the domains' output maps"),
    "selfiou": Metric(1, "mIoU of rare classes between plain and multi-scale, mirrored prediction"),
}
"""What `segda quality --full` measures; there `cons` is over all warps."""

COMBINED = ("ent", "mi", "cons", "prior", "mmd", "pad", "head", "ema", "src")
"""One of each kind, for the combined score: else two heads would count three times."""
