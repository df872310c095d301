"""What the commands of `segda` do, one module for each, and what they print."""
