"""Processes of this host: starting, finding and ending them, and the signals that stop a launch."""
