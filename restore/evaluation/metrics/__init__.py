"""Scores of restored images: metrics, the protocols that fix what they are taken on, and their uncertainty."""

from __future__ import annotations

from restore.evaluation.metrics.color import bt601_luma, ciede2000, color_shift, delta_e, rgb_to_lab
from restore.evaluation.metrics.fidelity import GAUSSIAN, UNIFORM, SsimWindow, mae, ms_ssim, psnr, ssim
from restore.evaluation.metrics.perceptual import fid, inception_weights, kid, lpips, lpips_trunk
from restore.evaluation.metrics.protocol import PROTOCOLS, Protocol, get_protocol, prepare_input, protocol_size, score
from restore.evaluation.metrics.registry import METRICS, Metric, ScoredPair, get_metric, register
from restore.evaluation.metrics.statistics import Difference, Summary, bootstrap_interval, paired_difference, summarise

__all__ = [
    "GAUSSIAN",
    "METRICS",
    "PROTOCOLS",
    "UNIFORM",
    "Difference",
    "Metric",
    "Protocol",
    "ScoredPair",
    "SsimWindow",
    "Summary",
    "bootstrap_interval",
    "bt601_luma",
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
    "mae",
    "ms_ssim",
    "paired_difference",
    "prepare_input",
    "protocol_size",
    "psnr",
    "register",
    "rgb_to_lab",
    "score",
    "ssim",
    "summarise",
]
