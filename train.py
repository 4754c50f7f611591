"""Train a NoteRNN: python train.py dataset=chrono optimizer=adam (see --help)."""

import os
import sys

import hydra
from omegaconf import DictConfig

from noternn.config import schema as config
from noternn.errors import UserError
from noternn.launch import command_line
from noternn.launch.job import run_job
from noternn.training.stopping import answering_signals

config.register()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(composed: DictConfig) -> float | None:
    """One run; Hydra calls it once for every job of a multirun."""
    return run_job(composed)


if __name__ == "__main__":
    # Read when torch is imported: a thread that waits must not burn the core that another process needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with answering_signals():
        try:
            sys.argv[1:] = command_line.check(sys.argv[1:])
        except UserError as error:
            sys.exit(f"error: {error}")
        main()
