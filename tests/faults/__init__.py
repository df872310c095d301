"""Faults made to real trials: by the tests once each, by `make faults` many times at random moments."""
