"""The images of a data profile: whether its roots hold what its layouts promise."""

from collections.abc import Iterator

from launcher.doctor.finding import Finding, Level, Scope
from launcher.expand.layers import merge
from launcher.launching.manifest import read_manifests
from launcher.trial import Trial
from segda_core.config import Profile, TrialConfig
from segda_core.errors import check


def check_data(scope: Scope) -> Iterator[Finding]:
    """Both domains listed as a trial that opens all of them would, without opening an image."""
    profile = scope.profile
    if profile is None:
        yield Finding(Level.NOTE, "segda doctor PROFILE also looks for a data profile's images")
        return
    roots = {name: domain.root for name, domain in profile.domains.items()}
    base = {"data": profile.data.model_dump(), "method": {"name": "joint"}, "steps": 1}
    config = check(TrialConfig, merge(base, profile.trial))
    if isinstance(config, list):
        said = "; ".join(str(problem) for problem in config)
        yield Finding(Level.PROBLEM, f"{profile.name}: no trial can be made of it: {said}", facts=roots)
        return
    trial = Trial("doctor", config)
    found = read_manifests([trial])[trial.id]
    if found.problem is not None:
        yield _missing(profile, found.problem, roots)
        return
    counts = {"source": found.source, "target": found.target, "validation": found.validation}
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    yield Finding(Level.OK, f"{profile.name}: {said} images", facts={**roots, **counts})
    for line in found.skipped:
        yield Finding(Level.WARNING, f"{profile.name}: left out: {line}", f"segda data check {profile.name}")


def _missing(profile: Profile, problem: str, roots: dict[str, str]) -> Finding:
    message = f"{profile.name}: {problem}"
    if profile.make is not None:
        return Finding(Level.NOTE, message, f"segda sweep draws the images of {profile.make} itself", roots)
    advice = "put the images, or a link to them, where the profile says, or set SEGDA_DATA"
    return Finding(Level.PROBLEM, message, advice, roots)
