"""Train, compose, measure and listen: each is a command of `noternn` or `python -m noternn`."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path

from noternn import __version__
from noternn.errors import UserError
from noternn.terminal import harmless_streams, make_streams_harmless

# Each is a module of noternn.commands; only the one that is asked for is imported.
COMMANDS = {
    "generate": "compose a MIDI file with a trained network",
    "health": "compare samples with held-out music, and say what is wrong",
    "evaluate": "measure trained networks on held-out pieces, in several ways",
    "audit": "say what samples copy from the music that was learned from",
    "tokens": "print a MIDI file as tokens, against bars and beats",
    "corpus": "look at a corpus before training on it",
    "verify": "compose a file again from what it says of itself, and compare the bytes",
    "samplers": "compare ways of sampling from one network",
    "report": "compare the arms of sweeps, with spreads over seeds",
    "compare": "print runs side by side: what differs, what each came to",
    "listen": "write a page that plays and shows the samples of a run",
    "studio": "write a page in which the network of a run composes and plays with you",
    "blind": "write a page for a blind listening test, or say what its votes amount to",
    "export": "write a trained network for other programs, with a card that says what it is",
    "base": "train a network to start from, on the music that is installed",
    "bench": "compare speeds with other libraries, side by side",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its results go to stdout, messages to stderr.

    Args:
        arguments: what stands after the program's name; None takes this process's own, and sets up its
            output and its messages.

    Returns:
        The exit status: 1 after a mistake that was told in one line.
    """
    is_program = arguments is None
    if is_program and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack letters of a file's name
    if is_program:
        make_streams_harmless()  # also for what is said when the interpreter ends
    with harmless_streams():
        if is_program:
            logging.basicConfig(format="%(message)s")
            logging.getLogger("noternn").setLevel(logging.INFO)
        return _run(sys.argv[1:] if arguments is None else arguments)


def _run(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["train"]:  # its settings are Hydra's, not options of argparse
        from noternn.launch.start import main as train

        train(arguments[1:])
        return 0
    named = next((argument for argument in arguments if argument in COMMANDS), None)
    parser = build_parser([named] if named else [])
    options, others = parser.parse_known_args(arguments)
    if others and (options.command != "corpus" or any(other.startswith("-") for other in others)):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if others:
        options.corpus += others  # settings after options; argparse takes positionals in one place only
    try:
        options.run(options)
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # as `| head` does once it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def build_parser(complete: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """A parser that knows the names of all commands, and the options of those in `complete`."""
    is_installed = Path(sys.argv[0]).stem == "noternn"
    parser = argparse.ArgumentParser("noternn" if is_installed else "python -m noternn", description=__doc__)
    parser.add_argument(
        "--version", action="version", version=f"noternn {__version__}", help="say the version"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("train", help="train a network: exactly as python train.py does")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        command.add_argument(
            "--version", action="version", version=f"noternn {__version__}", help=argparse.SUPPRESS
        )
        if name in complete:
            module = import_module(f"noternn.commands.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
