"""From a survey of a sweep to finished trials: what is to run, claiming, the launch loop, what it shows."""
