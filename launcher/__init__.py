"""Plans, submits, watches and ranks trials; never imports torch."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
"""Where both packages lie: a checkout, with its sweeps, or where they are installed."""
