"""Is it copied? What a sample shares with a corpus."""
