"""Restoring: from an image, a folder or a batch to what was asked for."""
