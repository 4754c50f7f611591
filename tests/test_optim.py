"""Optimizers: every option file of conf/optimizer, built and put to work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn

from noternn import config
from noternn.optim import build_optimizer

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


@each_optimizer
def test_an_optimizer_steps_as_torch_s_plain_one_does(option: str) -> None:
    options = options_of(option)
    plain = {name: value for name, value in options.items() if name != "name"}
    weights = []
    for build in (build_optimizer, lambda p, name, **o: getattr(torch.optim, name)(p, foreach=False, **o)):
        torch.manual_seed(0)
        layer = nn.Linear(30, 20)
        optimizer = build(layer.parameters(), options["name"], **plain)
        for _ in range(5):
            optimizer.zero_grad()
            layer(torch.randn(4, 30)).square().sum().backward()
            nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
            optimizer.step()
        weights.append(layer.weight.detach())
    torch.testing.assert_close(*weights)


def test_adam_is_fused_on_a_cpu() -> None:
    assert build_optimizer(nn.Linear(2, 2).parameters(), **options_of("adam")).defaults["fused"]
