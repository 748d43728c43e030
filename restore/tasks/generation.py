"""Images out of noise: the task of unconditional networks."""

from __future__ import annotations

from typing import Literal

from restore.degradations import Mixture
from restore.errors import ConfigError
from restore.tasks.inpainting import Inpainting, Uncropping
from restore.tasks.task import Examples, Task

__all__ = ["Generation"]


class Generation(Task):
    """An image is generated. An unconditional network fills holes, too: it need not have been trained for them.

    The known pixels are pasted into every estimate of x0, and the sampler puts noise over both on the way to the next
    level (Wang et al., "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model", ICLR 2023, with the
    mask as the operator). Where the sampler starts below the first level, it starts from a smooth filling.
    """

    kind: Literal["generate"] = "generate"

    def variant(self, name: str) -> Task:
        """Return this task, or inpainting or uncropping, on whose holes the network is not conditioned."""
        fillings = {"inpaint": Inpainting, "uncrop": Uncropping}
        return fillings[name](mask_channel=False, fill="smooth") if name in fillings else self

    def examples(self, weather: Mixture) -> Examples:
        """Raise an error: to make something up, nothing is undone."""
        raise ConfigError("task generate is not trained here; a published checkpoint does it, or use another task")
