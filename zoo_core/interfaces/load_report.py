"""`LoadReport`: where the weights of a model came from."""

from zoo_core.interfaces.image_statistics import ImageStatistics
from zoo_core.interfaces.record import Record


class LoadReport(Record, kw_only=True):
    """Where the weights of a model came from, and what was done to them: `model.load_report`.

    Attributes:
        reference: what was asked for, such as "pixelrnn".
        name: MODEL.TAG if a manifest knows the release, otherwise the name of the model.
        source: the place that the files were taken from: a package, a hub or a folder.
        folder: the folder on this machine that holds them.
        pinned: True if the files were compared with the hashes of a manifest, and not only with the release's own.
        tensors: how many tensors were loaded.
        parameters: how many numbers the model's parameters hold.
        dtype: the dtype of the parameters, such as "float32".
        device: where they are, such as "cpu".
        model_sha256: sha256 of the release's model.safetensors; None for a run that has not ended.
        config_sha256: sha256 of its config.json; None for a run that has not ended.
        new_head: how many outputs the fresh head has; None if the head was not replaced.
        images: what the images look like that it was trained on; None if the release does not say.
    """

    reference: str
    name: str
    source: str
    folder: str
    pinned: bool
    tensors: int
    parameters: int
    dtype: str
    device: str
    model_sha256: str | None
    config_sha256: str | None
    new_head: int | None = None
    images: ImageStatistics | None = None
