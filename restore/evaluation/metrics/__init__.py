"""Scores of restored pictures: metrics, the protocols that fix what they are taken on, and their uncertainty."""

from __future__ import annotations

from restore.evaluation.metrics.catalogue import METRICS, Metric, get_metric
from restore.evaluation.metrics.color import ciede2000, color_shift, delta_e, luma, rgb_to_lab
from restore.evaluation.metrics.fidelity import GAUSSIAN, UNIFORM, Window, mae, ms_ssim, psnr, ssim
from restore.evaluation.metrics.perceptual import fid, inception_weights, kid, lpips, lpips_trunk
from restore.evaluation.metrics.protocol import PROTOCOLS, Protocol, get_protocol, prepare_input, protocol_size, score
from restore.evaluation.metrics.statistics import Difference, Summary, bootstrap_interval, paired_difference, summarise

__all__ = [
    "GAUSSIAN",
    "METRICS",
    "PROTOCOLS",
    "UNIFORM",
    "Difference",
    "Metric",
    "Protocol",
    "Summary",
    "Window",
    "bootstrap_interval",
    "ciede2000",
    "color_shift",
    "delta_e",
    "fid",
    "get_metric",
    "get_protocol",
    "inception_weights",
    "kid",
    "lpips",
    "lpips_trunk",
    "luma",
    "mae",
    "ms_ssim",
    "paired_difference",
    "prepare_input",
    "protocol_size",
    "psnr",
    "rgb_to_lab",
    "score",
    "ssim",
    "summarise",
]
