"""The steps that are always there, declared as plugins declare theirs; listing them imports no torch."""

from zoo_core.discovery.specs import StepSpec


def _input(name: str, target: str, summary: str) -> StepSpec:
    return StepSpec(name=name, target=f"zoo_core.steps.preprocessing:{target}", summary=summary)


def _augment(name: str, target: str, summary: str) -> StepSpec:
    return StepSpec(name=name, target=f"zoo_core.steps.augmentation:{target}", summary=summary, option="augment")


CORE_STEPS = (
    _input("binarize", "Binarize", "images to black and white"),
    _input("resize", "Resize", "images to a size"),
    _input("crop", "Crop", "the middle of images"),
    _input("invert", "Invert", "black to white, and white to black"),
    _input("grey", "Grey", "images in colour to grey"),
    _input("quantize", "Quantize", "values to the nearest of a number of levels"),
    _input("normalize", "Normalize", "values less a mean, by a standard deviation"),
    _input("rotate", "Rotate", "images turned, all alike or each by its own angle"),
    _augment("crop", "RandomCrop", "a window at a random place of each image with a border"),
    _augment("flip", "Flip", "left and right exchanged in some images"),
    _augment("cutout", "Cutout", "a black square at a random place"),
)
