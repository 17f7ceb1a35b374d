"""What `zoo info` says of the models is true."""

import re
from itertools import pairwise

import pytest
import torch

from zoo_autoregressive import plugin
from zoo_core import Model, create

IMAGE = {"channels": 3, "height": 2, "width": 4}
NETWORK = IMAGE | {"hidden": 6, "layers": 2, "head": 9}
CONFIGS = {
    "joint-table": {"channels": 3, "height": 1, "width": 2},
    "independent": IMAGE,
    "markov": IMAGE | {"order": 2},
    "ar": IMAGE | {"past": 5},
    "nade": IMAGE | {"hidden": 7},
    "eonade": IMAGE | {"hidden": 7},
    "gaussian": {"dims": 5},
    "rnade": {"dims": 5, "hidden": 7, "components": 3},
    "pixelcnn": NETWORK,
    "pixelrnn": NETWORK,
    "pixelrnn-row": NETWORK,
}
LETTERS = {"hidden": "h", "head": "m", "order": "k", "past": "n", "components": "K", "dims": "D", "channels": "C"}
FORMULAS = {spec.name: spec.parameter_count for spec in plugin.zoo_models()}
CASES = [(name, levels) for name in FORMULAS for levels in ([None] if name in ("gaussian", "rnade") else [2, 4])]


def count(model: Model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def evaluated(formula: str, values: dict[str, int]) -> int:
    """A formula in which factors stand side by side, and ^ is a power."""
    formula = formula.replace("1 + levels + … + levels^(k-1)", "(levels^k - 1) / (levels - 1)")
    words = re.findall(r"[a-zA-Z]+|\d+|\S", formula)
    python = words[0]
    for before, word in pairwise(words):
        factors = re.match(r"[\w)]", before) and re.match(r"[\w(]", word)
        python += f"*{word}" if factors else word.replace("^", "**")
    return eval(python, values)


@pytest.mark.parametrize(("name", "levels"), CASES)
def test_a_model_has_as_many_parameters_as_its_formula_says(name, levels):
    config = CONFIGS[name] | ({"levels": levels} if levels else {})
    values = {LETTERS.get(key, key): value for key, value in config.items()}
    if levels:
        values |= {"D": config["channels"] * config["height"] * config["width"], "K": 1 if levels == 2 else levels}
    formula = re.split("[,;]", FORMULAS[name])[0]  # the rest is what it comes to in a special case
    assert count(create(name, config=config)) == evaluated(formula, values)


def test_what_the_formulas_come_to_in_special_cases_is_true_too():
    assert FORMULAS["markov"].endswith("; 2D - 1 for bits and k = 1")
    assert count(create("markov", config=IMAGE | {"order": 1})) == 2 * 24 - 1
    assert FORMULAS["gaussian"].endswith(", of which D (D + 1) / 2 are used")
    gaussian = create("gaussian", config={"dims": 5})
    gaussian.fitted.fill_(True)
    gaussian.log_prob(torch.randn(9, 5)).sum().backward()
    assert (gaussian.factor.grad != 0).sum() == 5 * 6 / 2
