"""What tasks have in common that know one degradation and no label."""

from __future__ import annotations

from torch import Tensor

from restore.degradations import Degradation, Mixture, Random
from restore.tasks.task import Example, Examples, Task, unlabelled

__all__ = ["PlainTask"]


class PlainTask(Task):
    """A task whose training images come from one degradation."""

    def made_by(self) -> Degradation:
        """Return the degradation that is to be undone."""
        raise NotImplementedError

    def examples(self, weather: Mixture) -> Examples:
        """Return what makes training images; the weather counts for nothing."""
        spec = self.made_by()

        def make(clean: Tensor, random: Random, severity: float | None) -> Example:
            return Example(spec(clean, random, severity) * 2 - 1, unlabelled(clean))

        return make
