"""The errors that a user can mend: commands print their message in one line and exit with status 1."""

from importlib.util import find_spec

# What each extra brings: its name in messages, and a module by which it is found.
LIBRARIES = {
    "freedoom": ("vizdoom", "vizdoom"),
    "joblib": ("Hydra's launcher for joblib", "hydra_plugins.hydra_joblib_launcher"),
    "miditok": ("MidiTok", "miditok"),
    "onnx": ("ONNX", "onnx"),
    "ogg": ("soundfile", "soundfile"),
    "optuna": ("Optuna", "optuna"),
    "psutil": ("psutil", "psutil"),
    "ray": ("Hydra's launcher for Ray", "hydra_plugins.hydra_ray_launcher"),
    "report": ("Plotly", "plotly"),
    "safetensors": ("safetensors", "safetensors"),
    "sound": ("midirenderer", "midirenderer"),
    "submitit": ("Hydra's launcher for Slurm", "hydra_plugins.hydra_submitit_launcher"),
    "tensorboard": ("TensorBoard", "tensorboard"),
    "trackio": ("Trackio", "trackio"),
}


class UserError(Exception):
    """Wrong input; the message says what was given, what is allowed and what to do."""


class PieceError(UserError):
    """A file that could not be read as a piece of music; the message says why in one line."""


def install(extra: str) -> str:
    """The command that brings an extra, for a message."""
    return f'pip install "noternn[{extra}]" (in a clone: pip install -e ".[{extra}]")'


def is_installed(extra: str) -> bool:
    """Whether the library of an extra is there; it is not imported."""
    try:
        return find_spec(LIBRARIES[extra][1]) is not None
    except ModuleNotFoundError:  # not even the package that would hold it
        return False


def require(extra: str, wanted_by: str) -> None:
    """Refuse what needs an extra that is not installed.

    Args:
        extra: one of `LIBRARIES`.
        wanted_by: what the user gave, such as "tokenizer=miditok".

    Raises:
        UserError: says how to install it.
    """
    if not is_installed(extra):
        raise UserError(f"{wanted_by}: {LIBRARIES[extra][0]} is not installed; {install(extra)}")
