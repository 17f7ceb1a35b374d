"""What zoo-autoregressive offers."""

from zoo_core import ModelSpec, StudySpec, hookimpl

zoo_api = 1

_PIXELRNN = "van den Oord et al., 2016, Pixel Recurrent Neural Networks, arXiv:1601.06759"
_CAPABILITIES = ("Density", "Sampler", "Completer")

# K is 1 for two levels, else their number.
_FRAME = "2h (49C + 1) + m (2h + m + 2) + (m + 1) C K"
_SIZES = ", with h hidden features, m of the head, C channels, K logits a value"
_VALUES = ", with D values, K logits a value"


def _model(name: str, target: str, summary: str, paper: str, parameters: str, *aliases: str) -> ModelSpec:
    return ModelSpec(
        name=name,
        target=f"zoo_autoregressive.{target}",
        summary=summary,
        task="density-estimation",
        paper=paper,
        capabilities=_CAPABILITIES,
        aliases=aliases,
        parameter_count=parameters,
    )


@hookimpl
def zoo_models() -> list[ModelSpec]:
    return [
        _model(
            "joint-table",
            "joint_table:JointTable",
            "The whole table: one probability for every possible (tiny) image",
            "textbook",
            "levels^D, with D values, one of them not free: 2^D - 1 for bits",
            "table",
        ),
        _model(
            "independent",
            "independent:Independent",
            "Every value has its own distribution and knows nothing of the others",
            "textbook",
            f"D K{_VALUES}",
            "product",
        ),
        _model(
            "markov",
            "markov:Markov",
            "Markov chain of order k: a table with the contexts of the last k values, for every value",
            "textbook",
            f"K (1 + levels + … + levels^(k-1) + (D - k) levels^k){_VALUES}; 2D - 1 for bits and k = 1",
            "markov-chain",
        ),
        _model(
            "ar",
            "ar:AR",
            "Logistic regression of every value on the n values before it",
            "Frey, 1998, Graphical models for machine learning and digital communication",
            f"D K (n + 1){_VALUES}",
            "logistic-autoregression",
        ),
        _model(
            "nade",
            "nade:NADE",
            "NADE: a hidden layer for every value, all with shared weights",
            "Larochelle and Murray, 2011, The Neural Autoregressive Distribution Estimator, AISTATS",
            f"D h + h + D K (h + 1){_VALUES}",
        ),
        _model(
            "eonade",
            "eonade:EoNADE",
            "EoNADE: one network for every ordering of the values, and the mixture of some of them",
            "Uria, Murray and Larochelle, 2014, A Deep and Tractable Density Estimator, arXiv:1310.1757",
            f"2 D h + h + D K (h + 1){_VALUES}",
            "orderless-nade",
        ),
        # D real numbers.
        _model(
            "gaussian",
            "gaussian:Gaussian",
            "One Gaussian with full covariance over the numbers of a row",
            "textbook",
            "D^2, with D numbers, of which D (D + 1) / 2 are used",
            "multivariate-gaussian",
        ),
        _model(
            "rnade",
            "rnade:RNADE",
            "RNADE: NADE for real numbers, a mixture of Gaussians for each",
            "Uria, Murray and Larochelle, 2013, RNADE: The real-valued neural autoregressive density-estimator, "
            "arXiv:1306.0186",
            "D h + h + D + 3 D K (h + 1), with K Gaussians a number",
        ),
        _model(
            "pixelcnn",
            "pixelcnn:PixelCNN",
            "PixelCNN: masked convolutions; fast to train, blind to a wedge on the right of each pixel",
            _PIXELRNN,
            f"{_FRAME} + layers (13h^2 + 4h){_SIZES}",
        ),
        _model(
            "pixelrnn",
            "pixelrnn:DiagonalPixelRNN",
            "PixelRNN with Diagonal BiLSTM layers: each pixel sees all before it but one",
            _PIXELRNN,
            f"{_FRAME} + layers (34h^2 + 10h){_SIZES}",
            "diagonal-bilstm",
        ),
        _model(
            "pixelrnn-row",
            "pixelrnn:RowPixelRNN",
            "PixelRNN with Row LSTM layers: faster, sees a triangle above each pixel",
            _PIXELRNN,
            f"{_FRAME} + layers (30h^2 + 6h){_SIZES}",
            "row-lstm",
        ),
    ]


@hookimpl
def zoo_studies() -> list[StudySpec]:
    return [
        StudySpec(
            name="receptive-fields",
            target="zoo_autoregressive.studies.receptive_fields:ReceptiveFields",
            summary="what a pixel sees in PixelCNN, the Row LSTM and the Diagonal BiLSTM",
            minutes=1,
        ),
        StudySpec(
            name="masks",
            target="zoo_autoregressive.studies.masks:Masks",
            summary="what masks A and B hide, and how a wrong one leaks",
            minutes=1,
        ),
        StudySpec(
            name="pixelrnn-depth",
            target="zoo_autoregressive.studies.depth:Depth",
            summary="1, 4 and 7 layers of a PixelRNN, with and without residuals",
            minutes=15,
        ),
        StudySpec(
            name="colours",
            target="zoo_autoregressive.studies.colours:Colours",
            summary="R, then G, then B: bits per value of small colour photographs",
            minutes=60,
        ),
        StudySpec(
            name="orders",
            target="zoo_autoregressive.studies.orders:Orders",
            summary="how far back to look: tables of contexts against regressions",
            minutes=10,
        ),
        StudySpec(
            name="nade-orderings",
            target="zoo_autoregressive.studies.orderings:Orderings",
            summary="NADE with raster, reverse and random orderings",
            minutes=15,
        ),
        StudySpec(
            name="outliers",
            target="zoo_autoregressive.studies.outliers:Outliers",
            summary="what densities of digits say of Omniglot, turned and blank images",
            minutes=30,
        ),
        StudySpec(
            name="parameters",
            target="zoo_autoregressive.studies.parameters:Parameters",
            summary="parameters against nats, from counting to PixelRNN",
            minutes=1,
        ),
    ]
