"""What a checkpoint holds beside its tensors, and the network and codec in one: one file is enough."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

import noternn
from noternn.config.sampling import Sampling
from noternn.config.tokenizer import tokenizer_of
from noternn.errors import UserError, require
from noternn.files import replacing
from noternn.model.build import network_for
from noternn.model.course import Course
from noternn.model.labels import Bands, Labels
from noternn.model.lstm import NoteLSTM
from noternn.music.midi import is_writable_metre, is_writable_tempo
from noternn.runs.folder import RunFolder
from noternn.terminal import printable
from noternn.tokenizer import BpeTokenizer, Codec, Vocabulary, build_tokenizer
from noternn.tokenizer.bands import programs_of
from noternn.tokenizer.pace import Pace

CHECKPOINT_KEY = "noternn"
SAFETENSORS = ".safetensors"
BASE = "base"  # names the network that comes with the package
BASE_CHECKPOINT = Path(__file__).with_name("base") / "base.ckpt"
MAX_PACE = 2**31  # steps or tokens without a note
MAX_BANDS_READ = 1024


class WrongContentError(ValueError):
    """What a checkpoint holds is none of ours; the message says what."""


class Trained(NamedTuple):
    """A network in evaluation mode, its codec, its corpus's tempo (beats per minute), metre and pace.

    `drawing` holds the settings of sampling that the end of its run has chosen; none before the end. One with
    labels is told none; `labels` tells others. `bands` are those of the training pieces, see
    `noternn.tokenizer.bands.bands_of`; none where they are not known. `pedal` is whether that music was read
    with the pedal. `course` is that of held-out music; None before the end of a run.
    """

    network: NoteLSTM
    codec: Codec
    tempo: float
    metre: tuple[int, int]
    pace: Pace
    drawing: dict[str, Any]
    labels: Labels | None = None
    bands: Bands = ()
    pedal: bool = False
    course: Course | None = None


def checkpoint_content(
    config: dict[str, Any],
    codec: Codec,
    tempo: float,
    metre: tuple[int, int],
    pace: Pace,
    fingerprint: str,
    version: str,
) -> dict[str, Any]:
    """What a checkpoint holds beside the weights, as plain data."""
    merges = codec.tokenizer.merges.pairs if isinstance(codec.tokenizer, BpeTokenizer) else ()
    return {
        "config": config,
        "vocabulary": list(codec.vocabulary.tokens),
        "merges": [list(pair) for pair in merges],
        "tempo": tempo,
        "metre": list(metre),
        "pace": asdict(pace),
        "corpus_fingerprint": fingerprint,
        "version": version,
    }


def checkpoint_path(run_or_checkpoint: Path) -> Path:
    """The checkpoint of a run's best epoch, or the checkpoint that was named, or that of `base`.

    Raises:
        UserError: if there is none.
    """
    path = run_or_checkpoint
    if str(path) == BASE and not path.exists():
        return BASE_CHECKPOINT
    if path.is_dir():
        path = RunFolder(path).best_checkpoint
    if not path.is_file():
        raise UserError(f"{path}: no checkpoint there; give a run's folder or a .ckpt file")
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's plain data and tensors, also of one that was exported; no code in it is run.

    Raises:
        UserError: if the file is damaged or not a checkpoint of NoteRNN.
    """
    if path.suffix == SAFETENSORS:
        return load_safetensors(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise UserError(f"{path}: refused, it is compressed, as no checkpoint of NoteRNN is")
            damaged = archive.testzip()  # torch.load does not look at the checksums
        checkpoint = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: refused, it holds more than weights and plain data") from error
    except Exception as error:  # damage shows in many ways
        raise UserError(f"{path}: not a readable checkpoint ({type(error).__name__})") from error
    if damaged:
        raise UserError(f"{path}: the checkpoint is damaged (in {damaged}); use another one")
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(CHECKPOINT_KEY), dict):
        raise UserError(f"{path}: not a checkpoint of NoteRNN")
    return checkpoint


def weights_sha256(checkpoint: Mapping[str, Any]) -> str:
    """A hash of the weights that compose, in hexadecimal: the same where a checkpoint was exported.

    Args:
        checkpoint: as `load_checkpoint` gives it.
    """
    found = hashlib.sha256()
    for name, part in sorted(_weights(checkpoint["state_dict"]).items()):
        found.update(f"{name} {part.dtype} {tuple(part.shape)}\n".encode())
        found.update(part.contiguous().numpy().tobytes())
    return found.hexdigest()


def save_safetensors(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write what composing needs of a checkpoint as safetensors, with the plain data as JSON in its metadata.

    Args:
        checkpoint: as `load_checkpoint` gives it.
        path: ends in `.safetensors`.

    Raises:
        UserError: if the extra is not installed.
        OSError: if it cannot be written.
    """
    require("safetensors", path.name)
    from safetensors.torch import save

    tensors = {name: part.contiguous().clone() for name, part in _weights(checkpoint["state_dict"]).items()}
    content = json.dumps(checkpoint[CHECKPOINT_KEY], allow_nan=False)
    data = save(tensors, {CHECKPOINT_KEY: content, "format": "pt"})
    with replacing(path) as file:
        file.write(data)


def load_safetensors(path: Path) -> dict[str, Any]:
    """What `save_safetensors` wrote, as `load_checkpoint` gives it.

    Raises:
        UserError: if the extra is not installed, or the file is damaged or none of NoteRNN's.
    """
    require("safetensors", str(path))
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            content = (file.metadata() or {}).get(CHECKPOINT_KEY)
            tensors = {f"network.{name}": file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        plain = None if content is None else json.loads(content)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({type(error).__name__})") from error
    if not isinstance(plain, dict):
        raise UserError(f"{path}: not a checkpoint of NoteRNN")
    return {CHECKPOINT_KEY: plain, "state_dict": tensors}


def write_small(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write what composing and starting from a network need, its weights in 16 bits.

    Args:
        checkpoint: as `load_checkpoint` gives it.
        path: of the file.
    """
    weights = _weights(checkpoint["state_dict"])
    halves = {name: part.half() if part.is_floating_point() else part for name, part in weights.items()}
    small = {f"network.{name}": part.clone() for name, part in halves.items()}
    with replacing(path) as file:
        torch.save({CHECKPOINT_KEY: checkpoint[CHECKPOINT_KEY], "state_dict": small}, file)


def trained_of(checkpoint: dict[str, Any], path: Path) -> Trained:
    """The network and codec in what `load_checkpoint` gave for a path.

    Raises:
        UserError: if another version wrote it that this one cannot read.
    """
    try:
        return _trained(checkpoint)
    except Exception as error:  # what strangers write there shows in many ways
        version = printable(str(checkpoint[CHECKPOINT_KEY].get("version")))
        reason = f": {error}" if isinstance(error, WrongContentError) else ""
        raise UserError(
            f"{path}: NoteRNN {noternn.__version__} cannot use this checkpoint, "
            f"which version {version} wrote{reason}"
        ) from error


# What `NoteLSTM` does to its first weights, which changes numbers but no shape.
_CHANGES = {
    torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.zero_, torch.nn.init.normal_,
    torch.nn.init.uniform_, torch.nn.init.kaiming_uniform_,
    torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__rmul__, torch.Tensor.add, torch.Tensor.__add__,
    torch.Tensor.sub, torch.Tensor.__sub__,
}  # fmt: skip


class _WithoutNumbers(TorchFunctionMode):
    """Draws and changes nothing on the meta device, where it would import `torch._dynamo`: a second."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.randn, torch.rand):
            return torch.empty(*args, device="meta")
        if func is torch.tensor:  # what the network knows of its tokens, for `_check_indices`
            return func(*args, **{"device": "cpu", **(kwargs or {})})
        tensor = args[0] if args else (kwargs or {}).get("tensor")
        if func in _CHANGES and isinstance(tensor, torch.Tensor) and tensor.is_meta:
            return tensor
        return func(*args, **(kwargs or {}))


def _trained(checkpoint: dict[str, Any]) -> Trained:
    content = checkpoint[CHECKPOINT_KEY]
    config = content["config"]
    tokenizer = build_tokenizer(**tokenizer_of(config["tokenizer"]), merges=content.get("merges", ()))
    names = tuple(content.get("labels", ()))
    if not all(isinstance(token, str) for token in [*content["vocabulary"], *names]):
        raise TypeError("a token or label is no string")
    codec = Codec(tokenizer, Vocabulary(content["vocabulary"]))
    weights = _weights(checkpoint["state_dict"])
    _check_sizes(weights)
    weights = {name: part.float() if part.dtype == torch.half else part for name, part in weights.items()}
    num_layers = sum(name.startswith("layers.") and "weight_hh" in name for name in weights)
    if config["model"]["num_layers"] != num_layers:
        raise WrongContentError("the weights are of another network")
    with torch.device("meta"), _WithoutNumbers():  # wrong sizes in the settings cost no memory here
        network = network_for(codec, config["model"], len(names))
    own = network.state_dict()
    if any(tensor.dtype != own[name].dtype for name, tensor in weights.items()):
        raise WrongContentError("its weights are numbers of another kind")
    _check_indices(weights, own)
    network.load_state_dict(weights, assign=True)
    if not all(tensor.isfinite().all() for tensor in weights.values()):
        raise WrongContentError("a weight is no finite number")
    tempo = float(content["tempo"])
    if not is_writable_tempo(tempo):
        raise WrongContentError("the tempo is none that a MIDI file can hold")
    numerator, denominator = content.get("metre", (4, 4))  # version 0.1.0 did not note it at first
    if not is_writable_metre(int(numerator), int(denominator)):
        raise WrongContentError("the metre is none")
    pace = _pace(content.get("pace"), codec.tokenizer.steps_per_beat)
    drawing = _drawing(content.get("sampling", {}))
    of_labels = tuple(_bands(plain, codec) for plain in content.get("label_bands", ())[: len(names)])
    labels = Labels(network.eval(), names, of_labels) if names else None
    metre, bands = (int(numerator), int(denominator)), _bands(content.get("bands", ()), codec)
    pedal, course = _pedal(config), _course(content.get("course"))
    return Trained(network.eval().told(), codec, tempo, metre, pace, drawing, labels, bands, pedal, course)


def _pedal(config: Mapping[str, Any]) -> bool:
    """Whether the pedal held the notes of the training music; frames and earlier versions do not say."""
    dataset = config.get("dataset")
    return isinstance(dataset, Mapping) and dataset.get("pedal") is True


def _drawing(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of sampling, within their ranges."""
    kinds = {name: type(value) for name, value in Sampling().drawing.items()}
    return Sampling(**{name: kinds[name](value) for name, value in plain.items()}).drawing if plain else {}


def _pace(plain: Any, steps_per_beat: int) -> Pace:
    """The pace of the training pieces; what stands in for it where an earlier version has not noted it."""
    if plain is None:
        return Pace.default(steps_per_beat)
    pace = Pace(int(plain["steps"]), int(plain["tokens"]), float(plain["steps_per_note"]))
    if not all(0 < value <= MAX_PACE for value in vars(pace).values()):
        raise WrongContentError("the pace of its training pieces is none")
    return pace


def _bands(plain: Any, codec: Codec) -> Bands:
    """The bands of the training pieces; earlier versions have not noted them."""
    known = frozenset[int]().union(*programs_of(codec))
    bands = tuple(frozenset(map(int, band)) for band in plain[:MAX_BANDS_READ])
    if not all(band and band <= known for band in bands):
        raise WrongContentError("a band of its training pieces is none")
    return bands


def _course(plain: Any) -> Course | None:
    """The course of held-out music; earlier versions, and runs under way, have not noted it."""
    return Course.from_plain(plain) if plain else None


def _check_sizes(weights: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors that are larger than what the file holds of them, as those that repeat one number."""
    for name, tensor in weights.items():
        if tensor.layout != torch.strided:
            raise WrongContentError(f"{printable(name)} is stored in another way")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise WrongContentError(f"{printable(name)} is larger than what is stored of it")


def _check_indices(weights: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> None:
    """Refuse whole numbers beyond those of a new network: they say where in its weights something stands."""
    for name, tensor in own.items():
        if tensor.is_meta or tensor.dtype != torch.int64 or not tensor.numel():
            continue
        if weights[name].min() < tensor.min() or weights[name].max() > tensor.max():
            raise WrongContentError(f"{name} holds what is no place in it")


def _weights(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The network's own weights, averaged if they were."""
    prefixes = ("averaged.module.", "network.")
    prefix = next((p for p in prefixes if any(name.startswith(p) for name in state_dict)), prefixes[-1])
    return {
        name.removeprefix(prefix): tensor for name, tensor in state_dict.items() if name.startswith(prefix)
    }
