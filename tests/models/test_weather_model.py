"""The weather model that ships does what its card says."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from skimage import data

from restore import Restorer
from restore.degradations import Haze, Random
from restore.evaluation.metrics import psnr
from restore.images import to_photo
from restore.restoration.settings import Settings


@pytest.fixture(scope="module")
def clean() -> torch.Tensor:
    image = Image.fromarray(data.coffee()).resize((300, 200), Image.Resampling.LANCZOS)
    return to_photo(image).pixels


def test_haze_is_lifted(clean: torch.Tensor) -> None:
    degraded = Haze()(clean[None] / 2 + 0.5, Random([4]), 0.7) * 2 - 1
    restored = Restorer.from_pretrained(device="cpu").posterior(degraded[0], Settings(task="dehaze")).mean[None]
    before, after = (float(psnr((x + 1) * 127.5, (clean[None] + 1) * 127.5)) for x in (degraded, restored))
    assert after > before + 3


@pytest.mark.parametrize("task", ["weather", "derain", "desnow"])
def test_a_clean_image_stays_what_it_is(clean: torch.Tensor, task: str) -> None:
    restored = Restorer.from_pretrained(device="cpu").posterior(clean, Settings(task=task)).mean[None]
    assert float(psnr((restored + 1) * 127.5, (clean[None] + 1) * 127.5)) > 30
