"""Data, models, methods, training and evaluation; never imports the launcher."""
