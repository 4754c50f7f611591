"""NoteRNN: train LSTMs on MIDI, see when they overfit, hear what they learned."""

__version__ = "0.1.0"
