"""What zoo-basics offers."""

from zoo_core import ModelSpec, StudySpec, hookimpl

zoo_api = 1

_MLP = "Rumelhart, Hinton and Williams, 1986, Learning representations by back-propagating errors"


@hookimpl
def zoo_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="linear-regression",
            target="zoo_basics.linear_regression:LinearRegression",
            summary="A straight line through rows of numbers: the normal equation, gradient descent, or SGD",
            task="regression",
            paper="textbook",
            capabilities=("Regressor",),
            aliases=("least-squares",),
            parameter_count="T (D + 1), with D inputs, T targets",
        ),
        ModelSpec(
            name="mlp",
            target="zoo_basics.mlp:MLPClassifier",
            summary="Multilayer perceptron for images with labels",
            task="classification",
            paper=_MLP,
            capabilities=("Classifier",),
            parameter_count="sum over the layers of n_out (n_in + 1), with n_in inputs and n_out units of a layer",
        ),
        ModelSpec(
            name="mlp-regressor",
            target="zoo_basics.mlp:MLPRegressor",
            summary="Multilayer perceptron for rows of numbers; with variance=predicted it says how sure it is",
            task="regression",
            paper=_MLP,
            capabilities=("Regressor", "Uncertain"),
            parameter_count="sum over the layers of n_out (n_in + 1), with n_in inputs and n_out units of a layer",
        ),
    ]


@hookimpl
def zoo_studies() -> list[StudySpec]:
    return [
        StudySpec(
            name="init",
            target="zoo_basics.studies.init:Init",
            summary="what the first weights do to the activations of deep networks",
            minutes=0.5,
        ),
        StudySpec(
            name="losses",
            target="zoo_basics.studies.losses:Losses",
            summary="squared error, absolute error and Gaussian likelihoods, with outliers",
            minutes=1,
        ),
        StudySpec(
            name="optimizers",
            target="zoo_basics.studies.optimizers:Optimizers",
            summary="SGD, SGD with decay, momentum, Adam and Muon on the same network",
            minutes=3,
        ),
    ]
