"""Restoring: of an image, a folder or a batch."""
