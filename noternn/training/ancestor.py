"""Start from a trained network: its settings, its tokens, its weights and where these come from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from noternn.audit.against import Reference
from noternn.audit.against import load as load_music
from noternn.audit.index import Index
from noternn.config.checks import AUTO
from noternn.config.model import Model
from noternn.config.schema import BEFORE, Config, dataset_of
from noternn.config.tokenizer import TOKENIZERS, tokenizer_of
from noternn.corpus.reading import ReadingOptions
from noternn.datasets.configured import sources_of
from noternn.datasets.packages import licence_of
from noternn.errors import UserError
from noternn.model.checkpoint import CHECKPOINT_KEY, Trained, checkpoint_path, load_checkpoint, trained_of
from noternn.model.inherit import inherit, inherit_labels
from noternn.model.lstm import NoteLSTM
from noternn.sampling.provenance import sha256_of
from noternn.terminal import one_line, printable

log = logging.getLogger(__name__)

MAX_FILES = 2_000  # that are read for what samples copy of them

# Settings of the model that a run has for itself: they change no weight, or only what is added to them.
OWN = {
    "dropout", "input_dropout", "output_dropout", "embedding_dropout", "weight_dropout", "variational",
    "labels",
}  # fmt: skip


@dataclass(frozen=True)
class Ancestor:
    """The trained network that a run starts from.

    Args:
        given: as `init_from` names it.
        path: its checkpoint.
        content: what the checkpoint holds beside tensors.
        trained: the network and its codec.
    """

    given: str
    path: Path
    content: Mapping[str, Any]
    trained: Trained

    @property
    def tokens(self) -> tuple[str, ...]:
        """Its vocabulary."""
        return self.trained.codec.vocabulary.tokens

    def record(self) -> dict[str, Any]:
        """Where the weights come from: their checkpoint, its music, and what that started from."""
        dataset = self.content["config"]["dataset"]["name"]
        return {
            "init_from": self.given,
            "sha256": sha256_of(self.path),
            "version": self.content["version"],
            "dataset": dataset,
            "licences": self.content.get("licences") or {dataset: licence_of(dataset)},
            "started_from": self.content.get("started_from"),
        }

    def give_to(self, network: NoteLSTM, tokens: Sequence[str], label_names: Sequence[str] = ()) -> None:
        """Put its weights into a new network of its settings, and say so.

        Args:
            network: changed in place.
            tokens: its vocabulary, in which all of the ancestor's are.
            label_names: that it is told; those of the ancestor's that are called so are taken over.
        """
        own = self.trained.labels
        trained, known = (own.network, own.names) if own else (self.trained.network, ())
        num_new = inherit(network, tokens, trained, self.tokens)
        inherit_labels(network, label_names, trained, known)
        log.info(
            "starts from init_from=%s, trained on %s: %d of %d tokens are new to it",
            self.given, self.content["config"]["dataset"]["name"], num_new, len(tokens),
        )  # fmt: skip


def ancestor_of(init_from: str) -> Ancestor:
    """The network that a run's folder, a checkpoint or `base` names.

    Raises:
        UserError: if there is none, or none that can be started from.
    """
    try:
        path = checkpoint_path(Path(init_from).expanduser())
        checkpoint = load_checkpoint(path)
        content = checkpoint[CHECKPOINT_KEY]
        if content.get("merges"):
            raise UserError(
                f"{path}: its tokens are merged (tokenizer.bpe_vocab_size), others cannot be added"
            )
        return Ancestor(init_from, path, content, trained_of(checkpoint, path))
    except UserError as error:
        raise UserError(f"init_from={str(error).removeprefix('init_from=')}") from error


def start_of(init_from: str | None) -> Mapping[str, Any] | None:
    """What a checkpoint that is started from holds beside tensors; None without one, or if it is gone."""
    try:
        return ancestor_of(init_from).content if init_from else None
    except UserError:  # of a run that goes on
        return None


def music_of(start: Mapping[str, Any], cache_dir: Path | None) -> Index | None:
    """The index of the music that a network has learned from, so that it is seen what samples copy of it.

    Args:
        start: what its checkpoint holds beside tensors.
        cache_dir: where the index is kept.

    Returns:
        None, which is told in a line, where the music is not here, or where it is too much.
    """
    try:
        dataset = dataset_of(start["config"]["dataset"])
        sources = sources_of(dataset)
        if len(sources) > MAX_FILES:
            raise UserError(f"{len(sources):,} files are too many")
        name, options = printable(dataset.name), ReadingOptions.of(dataset)
        return load_music(Reference(name, sources, [], options, cache_dir, compares=False)).index
    except (UserError, KeyError, TypeError, AttributeError) as error:
        reason = one_line(str(error))
        log.info("what samples copy of the start's own music is not looked for: %s", reason)
        return None


def with_network_of(config: Config, start: Mapping[str, Any]) -> Config:
    """The settings with the network and the tokenizer of what a run starts from.

    Args:
        config: of the run.
        start: what the checkpoint holds beside tensors; of a run that goes on its own last one, so that what
            it started from may be gone.
    """
    trained = start["config"]
    own = {name: value for name, value in asdict(config.model).items() if name in OWN}
    model = Model(**{**BEFORE["model"], **trained["model"], **own})
    plain = tokenizer_of(trained["tokenizer"])
    return replace(config, model=model, tokenizer=TOKENIZERS[plain["name"]](**plain))


def refuse_other_network(config: Config, given: Sequence[str]) -> None:
    """Refuse settings on the command line that the network does not have which a run starts from.

    Args:
        config: of the run, as it was given.
        given: the settings on the command line.

    Raises:
        UserError: names the first that differs.
    """
    if config.init_from is None or config.resume:
        return
    start = ancestor_of(config.init_from).content["config"]
    for section in ("model", "tokenizer"):
        before, now = {**BEFORE.get(section, {}), **start[section]}, asdict(getattr(config, section))
        if section == "tokenizer":  # what is decided, and how drums are ordered, is taken over
            before = tokenizer_of(before)
            decided = {key for key, value in now.items() if value == AUTO or key == "drums_first"}
            now |= {key: before[key] for key in decided if key in before}
        for override in given:
            group, _, name = override.partition("=")[0].lstrip("+").partition(".")
            changed = [name] if name else [key for key in now if now[key] != before.get(key)]
            if group != section or not set(changed) - OWN:
                continue
            key = min(set(changed) - OWN)
            if now.get(key) != before.get(key):
                raise UserError(
                    f"{override}: the network of init_from={config.init_from} has {section}.{key}="
                    f"{before.get(key)}, not {now.get(key)}; leave it out, or start from another"
                )
