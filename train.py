"""Train a NoteRNN: python train.py dataset=chrono optimizer=adam (see --help)."""

from noternn.launch.start import main

if __name__ == "__main__":
    main()
