"""Exporting one method of a release as a program for other software: ONNX, torch.export."""
