"""Talking to Slurm through its commands: the queue, how jobs ended, limits, requeueing. Needs no submitit."""
