"""The format of a release: its files, golden outputs, tensors and card."""
