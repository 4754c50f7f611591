"""A checkpoint -> music."""
