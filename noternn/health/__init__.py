"""Is it healthy? What samples are like beside held-out music."""
