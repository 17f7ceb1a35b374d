"""What zoo-autoregressive offers."""

from zoo_core import ModelSpec, hookimpl

zoo_api = 1

_PAPER = "van den Oord et al., 2016, Pixel Recurrent Neural Networks, arXiv:1601.06759"


@hookimpl
def zoo_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="pixelrnn",
            target="zoo_autoregressive.pixelrnn:DiagonalPixelRNN",
            summary="PixelRNN with Diagonal BiLSTM layers: each pixel sees all before it",
            task="density-estimation",
            paper=_PAPER,
            capabilities=("Density", "Sampler", "Completer"),
            aliases=("diagonal-bilstm",),
            parameter_count="98hC + 2h + layers (40h^2 + 16h^2 ... )",
        ),
        ModelSpec(
            name="pixelrnn-row",
            target="zoo_autoregressive.pixelrnn:RowPixelRNN",
            summary="PixelRNN with Row LSTM layers: faster, sees a triangle above each pixel",
            task="density-estimation",
            paper=_PAPER,
            capabilities=("Density", "Sampler", "Completer"),
            aliases=("row-lstm",),
            parameter_count="",
        ),
    ]
