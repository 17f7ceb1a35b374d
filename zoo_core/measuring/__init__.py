"""Batches for measuring, evaluation, comparison, scores and summaries of models."""
