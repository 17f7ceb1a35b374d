"""PixelRNN: the equations, the checks of every density, and proof that the checks can fail."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from zoo_autoregressive.fast.lstm_sweep import Sweep, diagonal_sweep, row_sweep, sweep_lstm
from zoo_autoregressive.pixelrnn import (
    DiagonalBiLSTM,
    DiagonalPixelRNN,
    DiagonalState,
    PixelRNN,
    PixelRNNConfig,
    RowPixelRNN,
)
from zoo_core import RecordError
from zoo_core.testing import (
    check_batch_independence,
    check_calibration,
    check_causality,
    check_completeness,
    check_density,
    check_noise,
    check_normalisation,
    check_sampler,
    count_dependencies,
    randomise,
)

MODELS = [DiagonalPixelRNN, RowPixelRNN]
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "straightforward_pixels.py"


@pytest.fixture(autouse=True)
def one_thread():
    """These models are too small for threads to help."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(kind: type[PixelRNN] = DiagonalPixelRNN, channels: int = 1, **sizes: int) -> PixelRNN:
    """A small model with random weights and biases."""
    hidden = 3 if channels == 3 else 4
    sizes = {"height": 3, "width": 4, "layers": 2, "hidden": hidden, "head": 2 * hidden} | sizes
    return randomise(kind(PixelRNNConfig(channels=channels, **sizes)))


def bits(n: int, channels: int, height: int, width: int) -> Tensor:
    return torch.randint(2, (n, channels, height, width), generator=torch.Generator().manual_seed(0)).double()


# --- the network, pixel by pixel from the equations -----------------------------------------------------------------


class Reference:
    """The whole network as loops over pixels, from a model's named parameters; a map is a dict (row, column) -> [n]."""

    def __init__(self, model: PixelRNN) -> None:
        self.config = model.config
        self.weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        self.layer = self.diagonal if isinstance(model, DiagonalPixelRNN) else self.row

    def logits(self, image: Tensor) -> Tensor:
        """[C, H, W] -> [1 or levels, C, H, W]."""
        c = self.config
        maps = self.input_conv({(i, j): image[:, i, j] for i in range(c.height) for j in range(c.width)})
        for k in range(c.layers):
            states = self.layer(maps, f"layers.{k}.lstm.")
            keep = 1 if c.residual else 0
            maps = {at: keep * maps[at] + self.linear(f"layers.{k}.up", states[at]) for at in maps}
        logits = torch.empty(c.channels, c.levels if c.levels > 2 else 1, c.height, c.width, dtype=image.dtype)
        for (i, j), x in maps.items():
            for name in ("head1", "head2", "output"):
                x = self.linear(name, x.clamp(min=0))
            logits[:, :, i, j] = x.view(c.channels, -1)
        return logits.transpose(0, 1)

    def seen(self, weight: Tensor, itself: bool) -> Tensor:
        """The weight [n_out, n_in] without what colour may not see of another: R comes first, then G, then B."""
        n_out, n_in = weight.shape
        masked = weight.clone()
        for a in range(n_out):
            for b in range(n_in):
                to, source = a // (n_out // self.config.channels), b // (n_in // self.config.channels)
                if source > to or (source == to and not itself):
                    masked[a, b] = 0
        return masked

    def linear(self, name: str, x: Tensor) -> Tensor:
        return self.seen(self.weights[f"{name}.weight"], itself=True) @ x + self.weights[f"{name}.bias"]

    def input_conv(self, image: dict) -> dict:
        weight, bias = self.weights["input_conv.weight"], self.weights["input_conv.bias"]
        maps = {}
        for i, j in image:
            maps[i, j] = bias + self.seen(weight[:, :, 3, 3], itself=False) @ image[i, j]
            for other in image:
                down, right = other[0] - i, other[1] - j
                if max(-down, abs(right)) <= 3 and (down < 0 or (down == 0 and right < 0)):
                    maps[i, j] = maps[i, j] + weight[:, :, 3 + down, 3 + right] @ image[other]
        return maps

    def gate_rows(self, weight: Tensor) -> Tensor:
        """The mask for the input of four gates, [4h, 2h]; each gate has all colours."""
        return torch.cat([self.seen(gate, itself=True) for gate in weight.chunk(4)])

    def cell(self, z: Tensor, c_before: Tensor) -> tuple[Tensor, Tensor]:
        o, f, i, g = z.chunk(4)
        c = f.sigmoid() * c_before + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def row(self, x: dict, prefix: str) -> dict:
        k_is, k_ss = self.weights[prefix + "input_to_state"][0], self.weights[prefix + "state_to_state"][:, 0]
        left, own = k_is.chunk(2, 1)
        nothing = torch.zeros(self.config.hidden, dtype=k_is.dtype)
        h, c = {}, {}
        for i, j in sorted(x):
            z = self.weights[prefix + "bias"][0, :, 0] + self.gate_rows(own) @ x[i, j]
            if j > 0:
                z = z + left @ x[i, j - 1]
            for tap in range(3):
                z = z + k_ss[tap] @ h.get((i - 1, j - 1 + tap), nothing)
            h[i, j], c[i, j] = self.cell(z, c.get((i - 1, j), nothing))
        return h

    def direction(self, x: dict, prefix: str, k: int) -> dict:
        weights = [self.weights[prefix + name] for name in ("input_to_state", "state_to_state", "bias")]
        k_is, (left, up), bias = weights[0][k], weights[1][:, k], weights[2][k, :, 0]
        nothing = torch.zeros(self.config.hidden, dtype=k_is.dtype)
        h, c = {}, {}
        for i, j in sorted(x):
            z = bias + self.gate_rows(k_is) @ x[i, j]
            z = z + left @ h.get((i, j - 1), nothing) + up @ h.get((i - 1, j), nothing)
            h[i, j], c[i, j] = self.cell(z, c.get((i, j - 1), nothing))
        return h

    def diagonal(self, x: dict, prefix: str) -> dict:
        last = self.config.width - 1
        from_left = self.direction(x, prefix, 0)
        mirrored = self.direction({(i, last - j): value for (i, j), value in x.items()}, prefix, 1)
        above = {(i + 1, last - j): value for (i, j), value in mirrored.items()}
        return {at: h + above.get(at, torch.zeros_like(h)) for at, h in from_left.items()}


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize(
    "sizes",
    [
        {"height": 3, "width": 4},
        {"height": 4, "width": 3, "levels": 5},
        {"height": 3, "width": 3, "residual": False},
        {"height": 1, "width": 1},
        {"height": 1, "width": 5},
        {"height": 5, "width": 1},
        {"channels": 3, "height": 2, "width": 3, "hidden": 6, "levels": 4},
    ],
    ids=str,
)
def test_the_network_equals_a_loop_over_pixels(model_class, sizes):
    model = small(model_class, **sizes).double()
    c = model.config
    x = torch.rand(2, c.channels, c.height, c.width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.stack([Reference(model).logits(image) for image in x])
    torch.testing.assert_close(model(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.skipif(not BENCHMARK.exists(), reason="the benchmarks are not part of an installed package")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
@pytest.mark.parametrize("sizes", [{}, {"channels": 3, "height": 4, "width": 3, "levels": 3}], ids=str)
def test_the_design_that_benchmarks_compare_with_computes_the_same(model_class, sizes, dtype, tolerance):
    model = small(model_class, **sizes).to(dtype)
    c = model.config
    peer = load_benchmark().Straightforward(model)
    x = bits(3, c.channels, c.height, c.width).to(dtype)
    ours = model(x)
    assert (peer(x) - ours).abs().max() <= tolerance * ours.abs().max()


def load_benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location(BENCHMARK.stem, BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sweeps() -> list[Sweep]:
    """Of a 3x4, a 4x3 and a 1x3 image."""
    sizes = [(3, 4), (4, 3), (1, 3)]
    return [row_sweep(*size) for size in sizes] + [diagonal_sweep(*size)[0] for size in sizes]


@pytest.mark.parametrize("sweep", sweeps(), ids=lambda sweep: f"{len(sweep.neighbours)} taps, {len(sweep.steps)} steps")
@pytest.mark.parametrize("batch", [1, 2])
def test_the_backward_pass_equals_finite_differences(sweep, batch):
    directions, features, hidden = 2, 3, 2
    pixels = sum(hi - lo for lo, hi in sweep.steps)
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    inputs = (
        noise(features, pixels, batch),
        noise(directions, 4 * hidden, features),
        noise(directions, 4 * hidden, 1),
        noise(len(sweep.neighbours), directions, 4 * hidden, hidden),
    )
    for order in (None, torch.stack([torch.randperm(pixels, generator=generator) for _ in range(directions)])):
        torch.autograd.gradcheck(lambda *tensors, order=order: sweep_lstm(*tensors, sweep, order), inputs)


# --- the checks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_class", MODELS)
def test_the_model_is_a_density_and_its_sampler_exact(model_class):
    def build(**sizes: int) -> PixelRNN:
        hidden = 3 if sizes["channels"] == 3 else 4
        return model_class(PixelRNNConfig(hidden=hidden, layers=2, head=2 * hidden, **sizes))

    check_density(build, complete=model_class is DiagonalPixelRNN)


def test_the_diagonal_bilstm_misses_the_last_pixel_of_the_row_above_only():
    """Where the first convolution does not see it: the features at a pixel do not hold its own value."""
    check_completeness(small(height=4, width=4))
    height, width = 3, 7
    expected = sum(i * width + j - (i > 0 and width - 1 - j > 3) for i in range(height) for j in range(width))
    check_completeness(small(height=height, width=width), expected=expected)


def test_the_row_lstm_misses_far_corners_only():
    check_completeness(small(RowPixelRNN, height=5, width=5), expected=296)
    check_completeness(small(RowPixelRNN, height=3, width=4))


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("std", [0.3, 1])
def test_the_probabilities_of_all_images_sum_to_one(model_class, std):
    model = small(model_class, height=3, width=3)
    for seed in range(3):
        check_normalisation(randomise(model, std=std, seed=seed))


@pytest.mark.parametrize("model_class", MODELS)
def test_an_image_of_mnist_size_has_the_nll_of_a_coin_at_zero_weights(model_class):
    model = model_class(PixelRNNConfig())
    check_calibration(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    loss = model.loss({"image": bits(2, 1, 28, 28).float()})
    assert loss.value.item() / loss.weight == pytest.approx(543.43, abs=0.01)


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize(("n", "residual"), [(1, True), (5, True), (5, False)])
def test_sampling_in_single_precision_agrees_with_one_forward_pass(model_class, n, residual):
    model = small(model_class, height=7, width=6, residual=residual).eval()
    uniforms = torch.rand(n, 1, 7, 6, generator=torch.Generator().manual_seed(0))
    x = model.sample_from(uniforms)
    p = torch.sigmoid(model(x)[:, 0])
    unclear = (uniforms - p).abs() < 1e-5
    assert ((x == 1) == (uniforms < p))[~unclear].all()


def test_a_low_temperature_takes_the_likelier_value():
    model = small()
    x = model.sample_from(torch.rand(3, 1, 3, 4), temperature=1e-6)
    assert torch.equal(x == 1, model(x)[:, 0] > 0)


@pytest.mark.parametrize(("model_class", "count"), [(DiagonalPixelRNN, 65_793), (RowPixelRNN, 58_177)])
def test_parameter_count(model_class, count):
    model = model_class(PixelRNNConfig(hidden=16, layers=7))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": 3, "hidden": 16, "head": 33}, "hidden must be a multiple of the 3 channels, got 16"),
        ({"channels": 3, "hidden": 15, "head": 32}, "head must be a multiple of the 3 channels, got 32"),
        ({"layers": 0}, "layers"),
        ({"levels": 1}, "levels"),
        ({"hiden": 4}, "hiden"),
    ],
)
def test_a_bad_config_is_refused(values, message):
    with pytest.raises(RecordError, match=message):
        PixelRNNConfig(**values)


# --- the checks can fail: mistakes that have been made in public code ---------------------------------------------


class NotShiftedBiLSTM(DiagonalBiLSTM):
    """The mirrored direction stays on its own row."""

    def forward(self, x: Tensor, plain: bool = False) -> Tensor:
        maps = x.unflatten(1, (self.height, self.width))
        return (self.recurrence(maps, 0) + self.recurrence(maps.flip(2), 1).flip(2)).flatten(1, 2)


class NotShifted(DiagonalPixelRNN):
    LSTM = NotShiftedBiLSTM


class WrongNeighbours(DiagonalPixelRNN):
    """Reads other slots of the diagonal before than the left and the upper pixel."""

    def __init__(self, config: PixelRNNConfig, neighbours: tuple[int, int]) -> None:
        super().__init__(config)
        for layer in self.layers:
            layer.lstm.sweep = layer.lstm.sweep._replace(neighbours=neighbours)


class MaskBFirst(DiagonalPixelRNN):
    """The first layer sees the value that it should predict."""

    def __init__(self, config: PixelRNNConfig) -> None:
        super().__init__(config)
        self.input_conv.mask[:, :, 3, 3] = 1


class WithBatchNorm(DiagonalPixelRNN):
    def __init__(self, config: PixelRNNConfig, running: bool = True) -> None:
        super().__init__(config)
        self.norm = nn.BatchNorm1d(2 * config.hidden, track_running_stats=running)

    def read_out(self, maps: Tensor) -> Tensor:
        return super().read_out(self.norm(maps.flatten(1).T).T.unflatten(1, maps.shape[1:]))


class Probabilities(DiagonalPixelRNN):
    """Hands probabilities to a loss that takes logits."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(super().forward(x))


class MeanOverPixels(DiagonalPixelRNN):
    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob(x) / x[0].numel()


class ForgetsThePast(DiagonalState):
    """The mirrored states of the row before are not computed."""

    def finish_mirrored(self) -> None:
        pass


class StaleSampler(DiagonalPixelRNN):
    def begin_sampling(self, n: int) -> DiagonalState:
        return ForgetsThePast(self, n)


class SeedlessSampler(DiagonalPixelRNN):
    def sample(self, n: int, **arguments: object) -> Tensor:
        return super().sample(n)


class ForgetfulCompleter(DiagonalPixelRNN):
    def complete(self, x: Tensor, known: Tensor, **arguments: object) -> Tensor:
        known = known.clone()
        known[..., -1, :] = False
        return super().complete(x, known, **arguments)


def config(**sizes: int) -> PixelRNNConfig:
    return PixelRNNConfig(**({"height": 3, "width": 3, "hidden": 4, "layers": 2, "head": 8} | sizes))


def test_a_direction_that_is_not_shifted_down_is_found():
    with pytest.raises(AssertionError, match="row 0, column 0, channel 0 depend on itself"):
        check_causality(randomise(NotShifted(config())))
    with pytest.raises(AssertionError, match="512 examples sum to"):
        check_normalisation(randomise(NotShifted(config())))
    with pytest.raises(AssertionError, match=r"on fresh noise, whose entropy is 24\.95"):
        check_noise(NotShifted(config(height=6, width=6)))


def test_a_wrong_neighbour_is_found():
    with pytest.raises(AssertionError, match="depend on"):
        check_causality(randomise(WrongNeighbours(config(), (0, 1))))  # the diagonal padded on the wrong side
    with pytest.raises(AssertionError, match="of 300 earlier values"):
        check_completeness(randomise(WrongNeighbours(config(height=25, width=1), (0, 0))))


def test_a_wrong_mask_is_found():
    with pytest.raises(AssertionError, match="depend on itself"):
        check_causality(randomise(MaskBFirst(config())))


def test_batch_norm_is_found():
    with pytest.raises(AssertionError, match="in train mode the logits of example 0 depend on example 1"):
        check_causality(randomise(WithBatchNorm(config())))
    with pytest.raises(AssertionError, match=r"alone and .* in a batch of 5"):
        check_batch_independence(randomise(WithBatchNorm(config(), running=False)))


def test_probabilities_taken_for_logits_are_found():
    model = randomise(Probabilities(config()))
    check_normalisation(model)  # still a density, only not the one that was meant
    with pytest.raises(AssertionError, match="with zero weights the NLL is"):
        check_calibration(model)
    with pytest.raises(AssertionError, match="disagrees with the logits"):
        check_sampler(model)


def test_a_mean_over_pixels_is_found():
    for check in (check_normalisation, check_calibration):
        with pytest.raises(AssertionError):
            check(randomise(MeanOverPixels(config())))


@pytest.mark.parametrize(
    ("model_class", "message"),
    [
        (StaleSampler, "disagrees with the logits"),
        (SeedlessSampler, "other examples with the same seed"),
        (ForgetfulCompleter, r"complete changes \d+ of \d+ known values"),
    ],
)
def test_a_wrong_sampler_is_found(model_class, message):
    with pytest.raises(AssertionError, match=message):
        check_sampler(randomise(model_class(config())))


def test_checks_leave_the_model_as_it_was():
    model = WithBatchNorm(config()).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count_dependencies(model)
    check_calibration(model)
    check_noise(model, steps=1)
    assert model.training
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype and torch.equal(tensor, before[name]), name
