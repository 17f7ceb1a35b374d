"""The manifests of the models in this repository: every published release, pinned by sha256."""
