"""What each metric is: direction, range, unit and where it comes from, as `restore metrics` prints it."""

from __future__ import annotations

from typing import Literal

from restore.errors import ConfigError
from restore.schema import Spec

__all__ = ["METRICS", "Metric", "get_metric"]


class Metric(Spec):
    """One measure of quality.

    `direction` says which end is better; `low` and `high` bound its values (None: unbounded); `per` says whether one
    pair of pictures has a value or only two sets of them; `reference` is the citation.
    """

    name: str
    direction: Literal["higher", "lower"]
    low: float | None
    high: float | None
    unit: str
    per: Literal["picture", "set"] = "picture"
    description: str
    reference: str

    @property
    def range(self) -> str:
        """The bounds as text, with a round bracket where there is none.

        >>> METRICS["ssim"].range, METRICS["psnr"].range
        ('[-1, 1]', '[0, inf)')
        """
        low = "(-inf" if self.low is None else f"[{self.low:g}"
        high = "inf)" if self.high is None else f"{self.high:g}]"
        return f"{low}, {high}"


SSIM_2004 = (
    "Wang, Bovik, Sheikh, Simoncelli. Image quality assessment: from error visibility to structural similarity. "
    "IEEE Transactions on Image Processing, 2004"
)
PSNR_2008 = (
    "Huynh-Thu, Ghanbari. Scope of validity of PSNR in image/video quality assessment. Electronics Letters, 2008"
)
LPIPS_2018 = (
    "Zhang, Isola, Efros, Shechtman, Wang. The unreasonable effectiveness of deep features as a perceptual metric. "
    "CVPR 2018"
)

_ALL = (
    Metric(
        name="psnr",
        direction="higher",
        low=0,
        high=None,
        unit="dB",
        description="peak signal-to-noise ratio on the channels that the protocol names",
        reference=PSNR_2008,
    ),
    Metric(
        name="ssim",
        direction="higher",
        low=-1,
        high=1,
        unit="",
        description="structural similarity under a sliding 11x11 window, on the channels that the protocol names",
        reference=SSIM_2004,
    ),
    Metric(
        name="psnr_y",
        direction="higher",
        low=0,
        high=None,
        unit="dB",
        description="PSNR on BT.601 limited luma, beside the one of the protocol",
        reference=PSNR_2008,
    ),
    Metric(
        name="ssim_y",
        direction="higher",
        low=-1,
        high=1,
        unit="",
        description="SSIM on BT.601 limited luma, beside the one of the protocol",
        reference=SSIM_2004,
    ),
    Metric(
        name="ms_ssim",
        direction="higher",
        low=0,
        high=1,
        unit="",
        description="structural similarity over five scales, for pictures of at least 161 pixels a side",
        reference=(
            "Wang, Simoncelli, Bovik. Multiscale structural similarity for image quality assessment. "
            "Asilomar Conference on Signals, Systems and Computers, 2003"
        ),
    ),
    Metric(
        name="mae",
        direction="lower",
        low=0,
        high=255,
        unit="levels",
        description="mean absolute difference in 8-bit levels, on the channels that the protocol names",
        reference=(
            "Willmott, Matsuura. Advantages of the mean absolute error over the root mean square error. "
            "Climate Research, 2005"
        ),
    ),
    Metric(
        name="delta_e",
        direction="lower",
        low=0,
        high=None,
        unit="CIEDE2000",
        description="mean visible difference in colour; about 1 is just noticeable side by side",
        reference=(
            "Sharma, Wu, Dalal. The CIEDE2000 color-difference formula: implementation notes, supplementary test "
            "data, and mathematical observations. Color Research and Application, 2005"
        ),
    ),
    Metric(
        name="color_shift",
        direction="lower",
        low=0,
        high=None,
        unit="CIE 1976",
        description="distance between the mean L*a*b* colours: a cast or a change of exposure of the whole picture",
        reference="CIE 15:2004, Colorimetry, third edition, 2004",
    ),
    Metric(
        name="lpips_alex",
        direction="lower",
        low=0,
        high=None,
        unit="",
        description="learned perceptual distance, AlexNet trunk, heads v0.1: the one that papers report",
        reference=LPIPS_2018,
    ),
    Metric(
        name="lpips_vgg",
        direction="lower",
        low=0,
        high=None,
        unit="",
        description="learned perceptual distance, VGG-16 trunk, heads v0.1: meant as a loss",
        reference=LPIPS_2018,
    ),
    Metric(
        name="fid",
        direction="lower",
        low=0,
        high=None,
        unit="",
        per="set",
        description="Frechet distance between the Inception features of two sets; biased for small sets",
        reference=(
            "Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter. GANs trained by a two time-scale update rule "
            "converge to a local Nash equilibrium. NeurIPS 2017"
        ),
    ),
    Metric(
        name="kid",
        direction="lower",
        low=None,
        high=None,
        unit="",
        per="set",
        description="kernel distance between the Inception features of two sets; unbiased, so at times below 0",
        reference="Binkowski, Sutherland, Arbel, Gretton. Demystifying MMD GANs. ICLR 2018",
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def get_metric(name: str) -> Metric:
    """Return the metric of that name.

    Raises:
        ConfigError: no such metric; the message lists all.
    """
    if name not in METRICS:
        raise ConfigError(f"unknown metric {name!r}; accepted: {', '.join(METRICS)}")
    return METRICS[name]
