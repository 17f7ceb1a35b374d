"""Preprocessing and augmentation: named steps that travel with the weights."""
