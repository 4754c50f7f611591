"""A command line -> a run, a sweep or a search."""
