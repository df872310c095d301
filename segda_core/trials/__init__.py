"""A trial's files, and one attempt of it: from its configuration to metrics.json."""
