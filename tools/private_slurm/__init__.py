"""A private Slurm on one host: configuration files, processes, the cluster, and how it comes up."""
