"""The weights of a trained network in one of another vocabulary."""

from __future__ import annotations

import pytest
import torch
from helpers import small_piece

from noternn.model.build import network_for
from noternn.model.inherit import inherit, matched
from noternn.model.lstm import NoteLSTM
from noternn.tokenizer import Codec, EventTokenizer, Vocabulary

OPTIONS = {"embedding_dim": 12, "hidden_size": 16, "num_layers": 2, "dropout": 0.0, "num_fc_layers": 1}
WHOLE = OPTIONS | {"residual": True, "num_pitches": 4, "pitch_channels": 3, "memory": 2}


def test_a_token_is_matched_by_its_name_then_by_its_numbers() -> None:
    known = ["<pad>", "<bos>", "<eos>", "<unk>", "Duration_3", "Pitch_50", "Pitch_60", "Shift_2"]
    found = matched(["<pad>", "Pitch_60", "Pitch_54", "Pitch_90", "Shift_8", "Drum_60"], known)
    assert found.rows == [0, 6, 5, 6, 7, -1]
    assert found.num_new == 4


def networks(options: dict[str, object], extra: list[str]) -> tuple[NoteLSTM, Codec, NoteLSTM, Codec]:
    """A network of the tokens of a piece, and a new one that knows more tokens."""
    torch.manual_seed(0)
    tokenizer = EventTokenizer()
    tokens = tokenizer.tokenize(small_piece(0))
    old, new = (Codec(tokenizer, Vocabulary([*tokens, *more])) for more in ([], extra))
    trained, network = network_for(old, options), network_for(new, options)
    for parameter in trained.parameters():  # so that nothing is 0 by chance, as the boosts of a new memory
        torch.nn.init.normal_(parameter, std=0.2)
    return trained.eval(), old, network.eval(), new


def log_probs(network: NoteLSTM, codec: Codec) -> torch.Tensor:
    ids = torch.tensor([codec.vocabulary.id(t) for t in codec.tokenizer.tokenize(small_piece(0))])
    suggested = network.suggested(ids.numpy())
    logits, _ = network(ids[None], None, None if suggested is None else suggested[None])
    return torch.log_softmax(logits[0], -1)


@pytest.mark.parametrize(
    "options", [OPTIONS, WHOLE, WHOLE | {"num_fc_layers": 2}, OPTIONS | {"tied": True, "embedding_dim": 16}]
)
def test_in_the_same_vocabulary_it_is_the_same_network(options: dict[str, object]) -> None:
    trained, old, network, new = networks(options, [])
    assert inherit(network, new.vocabulary.tokens, trained, old.vocabulary.tokens) == 0
    torch.testing.assert_close(log_probs(network, new), log_probs(trained, old))


@pytest.mark.parametrize("options", [OPTIONS, WHOLE, WHOLE | {"num_fc_layers": 2}])
def test_among_the_tokens_that_it_knew_it_says_the_same(options: dict[str, object]) -> None:
    trained, old, network, new = networks(options, ["Pitch_20", "Pitch_121", "Shift_40", "Duration_90"])
    assert inherit(network, new.vocabulary.tokens, trained, old.vocabulary.tokens) == 4
    kept = [new.vocabulary.id(token) for token in old.vocabulary.tokens]
    with torch.no_grad():
        found, known = log_probs(network, new)[:, kept], log_probs(trained, old)
    known_tokens = torch.isfinite(known) & torch.isfinite(found)
    differences = (found - known).where(known_tokens, torch.nan)
    # The new tokens take a share of the probability from all others alike.
    spread = differences.nan_to_num(-torch.inf).amax(-1) - differences.nan_to_num(torch.inf).amin(-1)
    assert spread.max() < 1e-4
    assert (found.exp().sum(-1) > 0.5).all()


def test_a_new_token_starts_as_the_most_alike_one() -> None:
    trained, old, network, new = networks(OPTIONS, ["Pitch_121"])
    inherit(network, new.vocabulary.tokens, trained, old.vocabulary.tokens)
    pitches = [token for token in old.vocabulary.tokens if token.startswith("Pitch_")]
    highest = max(pitches, key=lambda token: int(token.removeprefix("Pitch_")))
    own = network.embedding.weight[new.vocabulary.id("Pitch_121")]
    torch.testing.assert_close(own, trained.embedding.weight[old.vocabulary.id(highest)])


def test_labels_say_nothing_at_first() -> None:
    trained, codec, _, _ = networks(WHOLE, [])
    network = network_for(codec, WHOLE, num_labels=2).eval()
    inherit(network, codec.vocabulary.tokens, trained, codec.vocabulary.tokens)
    for label in (0, 1, 2):
        found = log_probs(network.told([float(label == 1), float(label == 2)]), codec)
        torch.testing.assert_close(found, log_probs(trained, codec))
