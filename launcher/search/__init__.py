"""Searching a space of settings: what a sweep's `search:` may say, and which trials it makes."""
