"""Networks: `(x_t, noise level, condition) -> prediction`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from restore.networks.base import BaseNetworkSpec, Capabilities
from restore.networks.classifier import Classifier, ClassifierSpec
from restore.networks.efficient_unet import EfficientUNet, EfficientUNetSpec
from restore.networks.empty import build_empty
from restore.networks.encoder import Encoder, EncoderSpec
from restore.networks.two_views import TwoViews, TwoViewsSpec
from restore.networks.unet import UNet, UNetSpec
from restore.schema import Kinds

__all__ = [
    "BaseNetworkSpec",
    "Capabilities",
    "Classifier",
    "ClassifierNetworkSpec",
    "ClassifierSpec",
    "EfficientUNet",
    "EfficientUNetSpec",
    "Encoder",
    "EncoderSpec",
    "NetworkSpec",
    "TwoViews",
    "TwoViewsSpec",
    "UNet",
    "UNetSpec",
    "build_empty",
]

NetworkSpec = Annotated[EfficientUNetSpec | UNetSpec, Kinds("restore.networks", BaseNetworkSpec)]
ClassifierNetworkSpec = Annotated[ClassifierSpec | EncoderSpec, Field(discriminator="kind")]
