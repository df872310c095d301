"""A trial's directory: finding, writing and reading it, and whether its attempts live and how they ended."""
