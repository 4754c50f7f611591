"""Optimizers, schedules and averages: every option file of conf/optimizer, built and put to work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from noternn.config import schema as config
from noternn.errors import UserError
from noternn.training.optim import Averaged, Schedule, build_optimizer, check_optimizer

OPTIMIZERS = sorted(path.stem for path in (config.CONF_DIR / "optimizer").glob("*.yaml"))
each_optimizer = pytest.mark.parametrize("option", OPTIMIZERS)


def options_of(option: str, *overrides: str) -> dict[str, Any]:
    config.register()
    with initialize_config_dir(str(config.CONF_DIR), version_base="1.3"):
        parsed = config.parse(compose("config", [f"optimizer={option}", *overrides]))
    plain: dict[str, Any] = config.to_plain(parsed)["optimizer"]
    return plain


@each_optimizer
def test_every_optimizer_lowers_a_loss(option: str) -> None:
    torch.manual_seed(0)
    network, inputs = nn.Linear(8, 5), torch.randn(64, 8)
    targets = (inputs @ torch.randn(8, 5)).argmax(1)
    optimizer = build_optimizer(network.parameters(), **options_of(option))
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@each_optimizer
def test_every_optimizer_gets_the_options_of_its_file(option: str) -> None:
    options = options_of(option, "optimizer.lr=0.0123", "optimizer.weight_decay=0.045")
    optimizer = build_optimizer(nn.Linear(2, 2).parameters(), **options)
    assert type(optimizer).__name__ == options.pop("name")
    defaults = {name: optimizer.defaults[name] for name in options}
    assert {k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()} == options
    assert (options["lr"], options["weight_decay"]) == (0.0123, 0.045)


def test_an_option_that_only_one_optimizer_has_arrives() -> None:
    options = options_of("sgd", "optimizer.momentum=0.25", "optimizer.nesterov=false")
    defaults = build_optimizer(nn.Linear(2, 2).parameters(), **options).defaults
    assert (defaults["momentum"], defaults["nesterov"]) == (0.25, False)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("radam", {}, r"^optimizer.name=radam: torch.optim has ASGD, .* \(did you mean RAdam\?\)$"),
        ("Optimizer", {}, "^optimizer.name=Optimizer: torch.optim has "),
        ("RAdam", {"beta": 3}, r"^optimizer.beta=3: RAdam .* takes lr, betas, .*mean betas\?\)$"),
        ("Rprop", {"weight_decay": 0.1}, "^optimizer.weight_decay=0.1: Rprop does not take it"),
        ("RAdam", {"betas": [0.9]}, "^optimizer.name=RAdam: torch.optim refuses its settings: "),
        ("LBFGS", {}, "^optimizer.name=LBFGS: it measures the loss several times a step"),
        ("SparseAdam", {}, "^optimizer.name=SparseAdam: it takes sparse gradients only"),
        ("Muon", {}, "^optimizer.name=Muon: it changes matrices only"),
    ],
)
def test_what_torch_does_not_take_is_answered_in_one_line(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        check_optimizer(name, lr=0.1, **options)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["ASGD", "Adafactor", "Adamax", "NAdam", "RAdam", "Rprop"])
def test_other_optimizers_of_torch_are_built_with_their_arguments(name: str) -> None:
    check_optimizer(name, lr=0.1, maximize=False)
    assert build_optimizer(nn.Linear(2, 2).parameters(), name, lr=0.1).defaults["lr"] == 0.1


def test_an_optimizer_told_how_to_run_is_not_fused() -> None:
    optimizer = build_optimizer(nn.Linear(2, 2).parameters(), "AdamW", lr=0.1, foreach=True)
    assert (optimizer.defaults["foreach"], optimizer.defaults["fused"]) == (True, None)


def test_a_constant_schedule_leaves_the_learning_rate_as_it_is() -> None:
    assert [Schedule().at(epochs, 10) for epochs in (0.1, 5, 10)] == [1, 1, 1]


@pytest.mark.parametrize("name", ["constant", "plateau"])
def test_the_learning_rate_rises_in_a_line_over_the_warm_up(name: str) -> None:
    schedule = Schedule(name, warmup_epochs=2)
    assert [schedule.at(epochs, 10) for epochs in (0.5, 1, 2, 3)] == [0.25, 0.5, 1, 1]


def test_cosine_falls_along_half_a_wave_to_its_last_fraction() -> None:
    schedule = Schedule("cosine", final_fraction=0.1)
    assert [schedule.at(epochs, 8) for epochs in (0, 4, 8, 9)] == pytest.approx([1, 0.55, 0.1, 0.1])


def test_steps_are_smaller_by_as_much_as_pieces_are_longer() -> None:
    schedule = Schedule(piece_tokens=1000)
    assert [schedule.by_length(tokens, 8) for tokens in (0, 8_000, 16_000, 80_000)] == [1, 1, 0.5, 0.1]
    assert Schedule().by_length(80_000, 8) == 1


def test_plateau_lowers_the_rate_once_the_loss_has_not_fallen_for_some_epochs() -> None:
    schedule = Schedule("plateau", factor=0.5, patience=2)
    multiples = []
    for loss in (3.0, 2.0, 2.5, 2.1, 2.0, 1.9, 1.8, 1.9, 1.9):
        schedule.note(loss)
        multiples.append(schedule.at(5, 10))
    assert multiples == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_other_schedules_do_not_look_at_losses() -> None:
    schedule = Schedule("cosine")
    before = schedule.at(3, 10)
    for loss in (1.0, 2.0, 3.0, 4.0):
        schedule.note(loss)
    assert schedule.at(3, 10) == before


def test_the_average_is_even_at_first_and_then_forgets() -> None:
    network = nn.Linear(1, 1, bias=False)
    follower = Averaged(network, decay=0.75)
    expected, weights = 0.0, [1.0, 5.0, -2.0, 7.0, 0.0, 3.0]
    for count, weight in enumerate(weights):
        nn.init.constant_(network.weight, weight)
        follower.update_parameters(network)
        share = max(0.25, 1 / (count + 1))
        expected = (1 - share) * expected + share * weight
        assert follower.module.weight.item() == pytest.approx(expected)


def test_the_average_is_torchs_and_reads_its_checkpoints() -> None:
    network = nn.Linear(3, 2)

    def follow(averages: list[Tensor], current: list[Tensor], count: int) -> None:
        torch._foreach_lerp_(averages, current, max(0.25, 1 / (int(count) + 1)))

    theirs = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=follow)
    ours = Averaged(network, decay=0.75)
    for step in range(9):
        if step == 4:
            ours.load_state_dict(theirs.state_dict())
        nn.init.normal_(network.weight)
        for follower in (theirs, ours):
            follower.update_parameters(network)
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)
