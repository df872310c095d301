"""Why an attempt failed, in words that a launcher acts on."""

MACHINE_CAUSES = ("killed", "node", "nccl", "timeout", "disk")
"""Failures of the machine: retried within a launch, and taken up by the next one."""

EXPERIMENT_CAUSES = ("oom", "nan", "data", "config", "code")
"""Failures of the experiment: stay failed until `--retry` names them."""
