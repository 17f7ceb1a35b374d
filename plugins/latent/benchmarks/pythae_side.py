"""pythae's side of `vae.py`: run by its own interpreter, it answers orders, a line of JSON each.

It imports torch and pythae and nothing of ours. What is measured is pythae's own: `BaseTrainer.train_step`, which is an
epoch over a DataLoader, and `VAE.get_nll`. The networks are those that a user of pythae writes, with its interfaces.

Axes: B batch, D values of an image, H hidden features, Z latent dimensions.
"""

import json
import logging
import os
import sys
from time import process_time

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn


class Encoder(BaseEncoder):
    """Images [B, 1, height, width] -> means and log variances [B, Z] each."""

    def __init__(self, sizes: list[int]) -> None:
        BaseEncoder.__init__(self)
        d, *hidden, self.latent_dim = sizes
        self.layers = rectified([d, *hidden])
        self.embedding = nn.Linear(hidden[-1], self.latent_dim)
        self.log_var = nn.Linear(hidden[-1], self.latent_dim)

    def forward(self, x: Tensor) -> ModelOutput:
        h = self.layers(x.flatten(1))
        return ModelOutput(embedding=self.embedding(h), log_covariance=self.log_var(h))


class Decoder(BaseDecoder):
    """Latents [B, Z] -> probabilities [B, *shape]."""

    def __init__(self, sizes: list[int], shape: tuple[int, ...]) -> None:
        BaseDecoder.__init__(self)
        self.shape = shape
        d, *hidden, z = sizes
        self.layers = rectified([z, *reversed(hidden)])
        self.output = nn.Sequential(nn.Linear(hidden[0], d), nn.Sigmoid())

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.output(self.layers(z)).reshape(-1, *self.shape))


def rectified(sizes: list[int]) -> nn.Sequential:
    """Linear layers, each with a ReLU."""
    pairs = zip(sizes[:-1], sizes[1:])  # noqa: B905, RUF007  (any Python that pythae runs on)
    return nn.Sequential(*(layer for pair in pairs for layer in (nn.Linear(*pair), nn.ReLU())))


class Side:
    """The model with copied weights, and what is asked of it."""

    def take(self, file: str) -> None:
        """Images and weights from a file."""
        given = torch.load(file)
        self.images, sizes = given["images"], given["sizes"]  # [N, 1, height, width] in {0, 1}; D, H, ..., Z
        shape = tuple(self.images.shape[1:])
        config = VAEConfig(input_dim=shape, latent_dim=sizes[-1], reconstruction_loss="bce")
        self.model = VAE(config, encoder=Encoder(sizes), decoder=Decoder(sizes, shape))
        self.model.load_state_dict(given["weights"])

    def elbo(self, file: str) -> float:
        """Mean over as many images as the file has "noise" [n, Z], which takes the place of its own draws."""
        noise = torch.load(file)["noise"]
        self.model._sample_gauss = lambda mean, std: (mean + noise * std, noise)
        with torch.no_grad():
            loss = self.model({"data": self.images[: len(noise)]}).loss
        del self.model._sample_gauss
        return -float(loss)

    def begin_training(self, folder: str, batch: int, lr: float) -> None:
        """A BaseTrainer with its defaults, ready for its first epoch."""
        config = BaseTrainerConfig(output_dir=folder, per_device_train_batch_size=batch, learning_rate=lr, no_cuda=True)
        data = BaseDataset(self.images, torch.ones(len(self.images)))
        self.trainer = BaseTrainer(self.model, data, training_config=config)
        self.trainer.prepare_training()

    def train(self) -> float:
        """The loss of an epoch of steps; what comes after an epoch (copies, files) is left out."""
        return float(self.trainer.train_step(epoch=1))

    def log_likelihood(self, images: int, samples: int, batch: int) -> float:
        """Mean of `get_nll`, which has the sign of a log-likelihood; without a graph, as pythae's scripts call it."""
        with torch.no_grad():
            return float(self.model.get_nll(self.images[:images], n_samples=samples, batch_size=batch))


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever it prints goes to where errors go
    logging.disable(logging.WARNING)
    side = Side()
    print(json.dumps({"value": torch.__version__}), file=answers, flush=True)
    for order in sys.stdin:
        name, arguments = json.loads(order)
        start = process_time()
        value = getattr(side, name)(**arguments)
        print(json.dumps({"value": value, "seconds": process_time() - start}), file=answers, flush=True)


if __name__ == "__main__":
    main()
