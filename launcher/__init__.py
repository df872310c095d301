"""Plans, submits, watches and ranks trials; never imports torch."""
