"""What zoo-autoregressive offers."""

from zoo_core import ModelSpec, hookimpl

zoo_api = 1

_PAPER = "van den Oord et al., 2016, Pixel Recurrent Neural Networks, arXiv:1601.06759"

# h hidden features, m features of the head, C channels, K logits a channel: 1 for two levels, else their number.
_FRAME = "2h (49C + 1) + m (2h + m + 2) + (m + 1) C K"


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
            parameter_count=f"{_FRAME} + layers (34h^2 + 10h)",
        ),
        ModelSpec(
            name="pixelrnn-row",
            target="zoo_autoregressive.pixelrnn:RowPixelRNN",
            summary="PixelRNN with Row LSTM layers: faster, sees a triangle above each pixel",
            task="density-estimation",
            paper=_PAPER,
            capabilities=("Density", "Sampler", "Completer"),
            aliases=("row-lstm",),
            parameter_count=f"{_FRAME} + layers (30h^2 + 6h)",
        ),
    ]
