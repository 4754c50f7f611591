"""A piece of music: read from MIDI, scores or frames; written, drawn and played."""
