"""Checks for a model that claims an exact likelihood over values with a finite number of levels.

A model is asked for `log_prob`; where it has them, also for `forward`, the logits [B, 1 or levels, *shape] of every
value given those before it (one logit: a Bernoulli), and for `sample_from(uniforms)`, which is a function of given
uniforms. The field of its `signature` that has levels is what it is a density of. Values come in raster order,
row by row, in each pixel the channels in order; a field that is no image, in its own order.

Each check works on a copy in float64, unless it says otherwise, and leaves the model as it was. Use small models: some
checks need a backward pass for each value, or a forward pass over every possible image.

Axes: B batch, D values of one example in the order of generation.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Generator, Tensor, nn

from zoo_core.interfaces.capabilities import Completer, Density, Sampler
from zoo_core.interfaces.model import Model

M = TypeVar("M", bound=nn.Module)


def randomise(model: M, std: float = 0.5, seed: int = 0) -> M:
    """Fill every parameter, also biases, with normal noise, in place, and return the model.

    Fresh weights are often small or zero. Then a leak or a wrong bias would be too small to be seen.
    """
    generator = Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
    return model


def check_causality(model: Model, batch: int = 2, seed: int = 0) -> None:
    """Check that no logit depends on its own value, on a later one, or on another example: exact zeros in the Jacobian.

    Catches: a mask of the wrong kind; a mirrored LSTM that is not shifted down; padding on the wrong side; a skewed map
    of the wrong width (on images that are not square); BatchNorm, which in train mode sees the whole batch.
    """
    shape, _ = _space(model)
    for mode in ("train", "eval"):
        jacobian = _jacobian(_copied(model).train(mode == "train"), batch, seed)
        example = torch.arange(batch)
        among = jacobian.abs().amax((1, 3))  # [B, B]
        for one, other in ((among > 0) & (example[:, None] != example)).nonzero().tolist():
            raise AssertionError(f"in {mode} mode the logits of example {one} depend on example {other} of the batch")
        own = jacobian[example, :, example].abs().amax(0)  # [D, D]
        for i, j in (own.triu() > 0).nonzero().tolist():
            what = "itself" if i == j else f"{_place(shape, j)}, which comes later"
            size = f"derivative {own[i, j]:.2g}"
            raise AssertionError(f"in {mode} mode the logits of {_place(shape, i)} depend on {what} ({size})")
        if len(own) > 1 and not own.any():
            raise AssertionError("no logit has a derivative with respect to any value, so causality cannot be checked")


def count_dependencies(model: Model, tries: int = 4) -> int:
    """How many pairs (value, earlier value) have the logits of the one depend on the other; at most D (D - 1) / 2.

    A pair counts if it is seen with any of `tries` random weights: in a narrow network a ReLU may be dead.
    """
    seen = torch.zeros(1)
    for seed in range(tries):
        jacobian = _jacobian(randomise(_copied(model), seed=seed), batch=2, seed=seed)
        seen = seen + jacobian.abs().sum((0, 2))  # [D, D]
    return int((seen.tril(-1) > 0).sum())


def check_completeness(model: Model, expected: int | None = None) -> None:
    """Check that the logits depend on as many earlier values as they should: on all, unless `expected` is given.

    Catches: a mask on the state-to-state kernel; a kernel along the wrong axis; a neighbour that is never read.
    """
    values = math.prod(_space(model)[0])
    everything = values * (values - 1) // 2
    expected = everything if expected is None else expected
    found = count_dependencies(model)
    if found != expected:
        raise AssertionError(f"the logits depend on {found} of {everything} earlier values, expected {expected}")


def check_normalisation(model: Model, tolerance: float = 1e-12) -> None:
    """Check that the probabilities of all possible examples sum to one. For tiny spaces: 3x3 bits are 512 images.

    Catches: any leak of later values; a loss with a missing term, or averaged over values. A leak shows with random
    weights (`randomise`): with fresh ones the deviation may be small, huge ones saturate units and hide it.
    """
    shape, levels = _space(model)
    values = math.prod(shape)
    count = levels**values
    if count > 2**16:
        raise ValueError(f"{levels}^{values} examples are too many to sum over, choose a model of a smaller size")
    levels_of = torch.arange(count)[:, None] // levels ** torch.arange(values) % levels  # [count, values]
    examples = (levels_of.double() / (levels - 1)).view(-1, *shape)
    with torch.no_grad():
        copied = _copied(model)
        parts = [_log_prob(copied, examples[start : start + 4096]) for start in range(0, count, 4096)]
        total = float(torch.cat(parts).exp().sum())
    if not abs(total - 1) <= tolerance:
        raise AssertionError(f"the probabilities of all {count} examples sum to {total:.15g}, not to 1")


def check_calibration(model: Model, tolerance: float = 1e-12) -> None:
    """With all parameters zero every level is equally likely: the NLL is D ln(levels), relative to `tolerance`.

    Catches: probabilities where logits belong (these still sum to one); nats per value called nats; bits.
    """
    shape, levels = _space(model)
    copied = _copied(model)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
        expected = math.prod(shape) * math.log(levels)
        for nll in (-_log_prob(copied, _examples(model, 3))).tolist():
            if not abs(nll - expected) <= tolerance * expected:
                raise AssertionError(f"with zero weights the NLL is {nll:.15g}, not D ln(levels) = {expected:.15g}")


def check_batch_independence(model: Model, tolerance: float = 1e-10) -> None:
    """Check that the log-likelihood of an example is the same alone and in a batch of 5, in eval mode.

    Catches: a batch size that is baked into initial states; statistics over the batch; batch and pixels mixed up.
    """
    copied, examples = _copied(model), _examples(model, 5)
    with torch.no_grad():
        together = _log_prob(copied, examples)
        if together.shape != (5,):
            raise AssertionError(f"log_prob of 5 examples has shape {tuple(together.shape)}, expected (5,)")
        alone = torch.cat([_log_prob(copied, example) for example in examples[:, None]])
    for k, (one, other) in enumerate(zip(alone.tolist(), together.tolist(), strict=True)):
        if not abs(one - other) <= tolerance * max(1, abs(other)):
            raise AssertionError(f"log_prob of example {k} is {one:.12g} alone and {other:.12g} in a batch of 5")


def check_sampler(model: Model, n: int = 5, scales: Sequence[float] = (1, 4), seed: int = 0) -> None:
    """Check that samples follow the likelihood exactly and depend on the seed alone, and that completion keeps known
    values.

    For a model with `sample_from(uniforms, *, x=None, known=None, temperature=1.0)`, which sets a bit where u < p, and
    takes the first level whose cumulative probability exceeds u where there are more: one forward pass on the finished
    example gives the interval in which each uniform must lie. Uniforms moved to just inside the ends of the intervals
    must give the same example again, which pins every probability that the sampler used. The weights are also
    multiplied by `scales`, since states that saturate show what small ones hide.

    Catches: cached state that is stale, misplaced or of another layer; an ignored temperature; a hidden random source.
    """
    copied = _copied(model)
    exact = hasattr(model, "sample_from")
    if exact:
        for scale in scales:
            scaled = _copied(model)
            with torch.no_grad():
                for parameter in scaled.parameters():
                    parameter.mul_(scale)
                for temperature in (1.0, 0.6):
                    _check_draw(scaled, n, temperature, seed, f"weights x {scale:g}, temperature {temperature:g}")
    sampler = cast(Sampler, copied)
    with torch.no_grad():
        first, again, other = (sampler.sample(n, generator=Generator().manual_seed(s)) for s in (seed, seed, seed + 1))
        _check_samples(copied, first, n)
        if not torch.equal(first, again):
            raise AssertionError(f"sample gives other examples with the same seed: {_first_difference(first, again)}")
        if torch.equal(first, other):
            raise AssertionError("sample gives the same examples with another seed")
        if isinstance(copied, Completer):
            _check_complete(copied, first, seed, exact)


def check_noise(model: Model, steps: int = 200, batch: int = 64, lr: float = 1e-2, seed: int = 0) -> None:
    """Check that a model of fair coin flips (or dice) never becomes better than their entropy by 4 standard errors.

    It needs only `log_prob`, trains the copy with Adam in the model's own precision, and is meant for about 6x6 values.
    Catches: every leak that is worth learning, by whatever path.
    """
    shape, levels = _space(model)
    entropy = math.prod(shape) * math.log(levels)
    copied = copy.deepcopy(model)
    generator = Generator().manual_seed(seed)
    dtype = next(copied.parameters()).dtype
    optimizer = torch.optim.Adam(copied.parameters(), lr=lr)
    for step in range(1, steps + 1):
        copied.train()
        optimizer.zero_grad()
        (-_log_prob(copied, _examples(model, batch, generator, dtype)).mean()).backward()
        optimizer.step()
        if step % 50 == 0 or step == steps:
            with torch.no_grad():
                nll = -_log_prob(copied.eval(), _examples(model, 512, generator, dtype)).double()
            mean, stderr = float(nll.mean()), float(nll.std()) / math.sqrt(len(nll))
            if not mean >= entropy - 4 * stderr - 1e-5 * entropy:  # the last for rounding; NaN fails
                found = f"reaches {mean:.2f} nats on fresh noise, whose entropy is {entropy:.2f}"
                raise AssertionError(f"after {step} steps the model {found}: it sees what it should predict")


def check_density(
    build: Callable[..., Model],
    *,
    channels: Sequence[int] = (1, 3),
    levels: Sequence[int] = (2, 3),
    complete: bool = True,
    seed: int = 0,
) -> None:
    """Run all checks of this module on small models, in several sizes that are not square, with random weights.

    Args:
        build: makes a model from the arguments `channels`, `height`, `width` and `levels`.
        channels, levels: the values that the model supports.
        complete: whether every value depends on all values before it. If the architecture has a blind spot, say False,
            and call `check_completeness` with the number that you expect.
    """

    def built(c: int, height: int, width: int, n: int) -> Model:
        return randomise(build(channels=c, height=height, width=width, levels=n), seed=seed)

    for c in channels:
        for n in levels:
            for height, width in [(3, 4), (4, 3)] if c == 1 else [(2, 3)]:
                model = built(c, height, width, n)
                check_calibration(model)
                check_batch_independence(model)
                if type(model).forward is not nn.Module.forward:
                    check_causality(model)
                    if complete:
                        check_completeness(model)
                if isinstance(model, Sampler):
                    check_sampler(model)
            tiny = built(c, 1, 2, n) if c > 1 else built(c, 2, 3, n)
            for k in range(3):
                check_normalisation(randomise(tiny, seed=seed + k))
        size = 3 if c > 1 else 6
        check_noise(build(channels=c, height=size, width=size, levels=levels[0]))


# --- the parts ------------------------------------------------------------------------------------------------------


def _space(model: Model) -> tuple[tuple[int, ...], int]:
    """Shape and levels of the one field that the model is a density of."""
    fields = [field for field in model.signature().values() if field.levels is not None]
    if len(fields) != 1 or None in fields[0].shape:
        raise ValueError(f"{type(model).__name__}.signature() must have one field with levels, and of a known shape")
    return cast(tuple[int, ...], fields[0].shape), cast(int, fields[0].levels)


def _order(shape: tuple[int, ...]) -> Tensor:
    """Flat index of each value in the order of generation, [D]; the channels of an image [C, H, W] come last."""
    index = torch.arange(math.prod(shape)).view(shape)
    return (index.permute(1, 2, 0) if len(shape) == 3 else index).flatten()


def _place(shape: tuple[int, ...], value: int) -> str:
    """Where the value with this number in the order of generation is."""
    if len(shape) != 3:
        return f"value {value}"
    channels, _, width = shape
    pixel, channel = divmod(value, channels)
    return f"row {pixel // width}, column {pixel % width}, channel {channel}"


def _copied(model: M) -> M:
    """A copy in float64 and eval mode, so that the model keeps its precision, mode, weights and running statistics."""
    return copy.deepcopy(model).double().eval()


def _log_prob(model: Model, x: Tensor) -> Tensor:
    return cast(Density, model).log_prob(x)


def _examples(model: Model, n: int, generator: Generator | None = None, dtype: torch.dtype = torch.float64) -> Tensor:
    """n examples of uniformly random levels, in [0, 1]."""
    shape, levels = _space(model)
    generator = generator or Generator().manual_seed(1)
    return torch.randint(levels, (n, *shape), generator=generator).to(dtype) / (levels - 1)


def _jacobian(model: Model, batch: int, seed: int) -> Tensor:
    """Derivative of each value's logits with respect to each value, [B, D, B, D], both D in the order of generation.

    The logits of one value are summed with random weights, so that nothing cancels.
    """
    shape, _ = _space(model)
    order = _order(shape)
    generator = Generator().manual_seed(seed)
    x = torch.rand(batch, *shape, generator=generator, dtype=torch.float64).requires_grad_()
    logits = model(x)  # [B, 1 or levels, *shape]
    weights = torch.randn(logits.shape, generator=generator, dtype=torch.float64)
    sums = (logits * weights).sum(1).flatten(1)[:, order]  # [B, D]
    rows = [torch.autograd.grad(value, x, retain_graph=True)[0].flatten(1)[:, order] for value in sums.flatten()]
    return torch.stack(rows).view(batch, len(order), batch, len(order))


def _intervals(model: Model, x: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Between which uniforms each value of x [B, *shape] is drawn, from one forward pass on x."""
    logits = model(x) / temperature
    if logits.shape[1] == 1:
        p = torch.sigmoid(logits[:, 0])
        return torch.where(x == 1, 0, p), torch.where(x == 1, p, 1)
    levels = logits.shape[1]
    ends = torch.softmax(logits, 1).cumsum(1)  # [B, levels, *shape]
    ends[:, -1] = 1
    starts = torch.cat([torch.zeros_like(ends[:, :1]), ends[:, :-1]], 1)
    level = (x * (levels - 1)).round().long()[:, None]
    return starts.gather(1, level)[:, 0], ends.gather(1, level)[:, 0]


def _check_draw(model: Any, n: int, temperature: float, seed: int, where: str) -> None:
    """The part of `check_sampler` that knows the uniforms."""
    shape, _ = _space(model)
    generator = Generator().manual_seed(seed)
    uniforms = torch.rand(n, *shape, generator=generator, dtype=torch.float64)
    x = model.sample_from(uniforms, temperature=temperature)
    _check_samples(model, x, n)
    low, high = _intervals(model, x, temperature)
    _check_inside(uniforms, low, high, f"sample_from ({where})")

    margin = ((high - low) / 2).clamp(max=1e-6)
    for name, edge in (("lower", low + margin), ("upper", high - margin)):
        again = model.sample_from(edge, temperature=temperature)
        if not torch.equal(again, x):
            difference = _first_difference(again, x)
            raise AssertionError(f"sample_from ({where}) disagrees with the logits at the {name} end of {difference}")

    # Half of the places known, with values that the model did not choose.
    known = torch.rand(n, *shape, generator=generator) < 0.5
    given = _examples(model, n)
    x = model.sample_from(uniforms, x=given, known=known, temperature=temperature)
    changed = int((x[known] != given[known]).sum())
    if changed:
        raise AssertionError(f"sample_from ({where}) changes {changed} of {int(known.sum())} known values")
    low, high = _intervals(model, x, temperature)
    _check_inside(uniforms, low.masked_fill(known, 0), high.masked_fill(known, 1), f"sample_from, unknown ({where})")


def _check_inside(uniforms: Tensor, low: Tensor, high: Tensor, what: str) -> None:
    outside = (uniforms < low - 1e-9) | (uniforms > high + 1e-9)
    for at in outside.nonzero().tolist()[:1]:
        place = tuple(at)
        u, interval = float(uniforms[place]), f"[{float(low[place]):.6g}, {float(high[place]):.6g})"
        count = f"{int(outside.sum())} of {outside.numel()} values"
        where = f"example {at[0]}, index {at[1:]}: the uniform {u:.6g} is outside {interval}"
        raise AssertionError(f"{what} disagrees with the logits at {count}, first {where}")


def _check_samples(model: Model, x: Tensor, n: int) -> None:
    shape, levels = _space(model)
    if x.shape != (n, *shape):
        raise AssertionError(f"{n} samples have shape {tuple(x.shape)}, expected {(n, *shape)}")
    scaled = x.double() * (levels - 1)
    if not torch.allclose(scaled, scaled.round().clamp(0, levels - 1)):
        raise AssertionError(f"samples have values that are not one of {levels} levels in [0, 1]")


def _check_complete(model: Any, sampled: Tensor, seed: int, exact: bool) -> None:
    """Completion keeps what is known; if exact, the beginning and the seed of a sample give that sample."""
    shape = tuple(sampled.shape[1:])
    given = _examples(model, len(sampled))  # values that the model did not choose
    known = torch.rand(given.shape, generator=Generator().manual_seed(seed)) < 0.5
    x = model.complete(given, known, generator=Generator().manual_seed(seed))
    _check_samples(model, x, len(given))
    changed = int((x[known] != given[known]).sum())
    if changed:
        raise AssertionError(f"complete changes {changed} of {int(known.sum())} known values")
    for count in (0, math.prod(shape) // 2, math.prod(shape)) if exact else ():
        beginning = torch.zeros(math.prod(shape), dtype=torch.bool)
        beginning[_order(shape)[:count]] = True
        start = torch.where(beginning.view(shape), sampled, 1 - sampled)  # what is not known must not matter
        x = model.complete(start, beginning.view(shape), generator=Generator().manual_seed(seed))
        if not torch.equal(x, sampled):
            difference = _first_difference(x, sampled)
            raise AssertionError(f"complete of the first {count} values is not the sample of that seed: {difference}")


def _first_difference(x: Tensor, y: Tensor) -> str:
    different = (x != y).nonzero().tolist()
    return f"example {different[0][0]}, index {different[0][1:]} ({len(different)} of {x.numel()} values)"
