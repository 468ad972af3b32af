"""A stand-in for Trackio that keeps rows in a JSON file, for tests of scripts/track_mirror.py."""
