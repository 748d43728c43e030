"""Time PSNR and SSIM, on luma and on colours, against scikit-image in one run.

    python scripts/bench/metrics.py --images 100 --threads 2

Three ways score the same 480x320 images on the same cores and take turns, batch by batch, so that a busy machine
slows all alike: scikit-image in a plain loop, scikit-image in a pool of as many threads, and the package. scikit-image
gets the settings that give the same numbers and starts from 8-bit arrays; the package starts from float batches in
[-1, 1], as it has them after restoring, and rounds them itself.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import skimage.data
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restore.evaluation.metrics import score

WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255


def images(count: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs (noisy, clean) of 320x480 8-bit crops of one photograph."""
    generator = np.random.default_rng(seed)
    photograph = skimage.data.astronaut()
    pairs = []
    for _ in range(count):
        top, left = generator.integers(0, 512 - 320), generator.integers(0, 512 - 480)
        clean = np.ascontiguousarray(photograph[top : top + 320, left : left + 480])
        noisy = np.clip(clean + generator.normal(0, 15, clean.shape), 0, 255).round().astype(np.uint8)
        pairs.append((noisy, clean))
    return pairs


def by_skimage(pair: tuple[np.ndarray, np.ndarray]) -> tuple[float, float, float, float]:
    """Return PSNR and SSIM on luma, then on colours."""
    settings = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    a, b = (x.astype(np.float64) for x in pair)
    luma_a, luma_b = a @ WEIGHTS + 16, b @ WEIGHTS + 16
    return (
        peak_signal_noise_ratio(luma_b, luma_a, data_range=255),
        structural_similarity(luma_b, luma_a, **settings),
        peak_signal_noise_ratio(b, a, data_range=255),
        structural_similarity(b, a, channel_axis=-1, **settings),
    )


def by_package(restored: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the same four scores of each image, (B, 4)."""
    native, rgb = score(restored, target, "native"), score(restored, target, "rgb")
    return torch.stack([native["psnr"], native["ssim"], rgb["psnr"], rgb["ssim"]], dim=1)


def batch(part: list[tuple[np.ndarray, np.ndarray]], index: int) -> torch.Tensor:
    """Return one side of the pairs as the package holds images, (B, 3, H, W) in [-1, 1]."""
    return torch.stack([torch.from_numpy(pair[index]).permute(2, 0, 1) for pair in part]) / 127.5 - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    pairs = images(options.images)
    seconds = {"skimage": 0.0, "skimage_pool": 0.0, "restore": 0.0}
    worst = np.zeros(4)
    with ThreadPoolExecutor(options.threads) as pool:
        for way in (map, pool.map):  # the first calls of a process pay for imports and tables
            list(way(by_skimage, pairs[:2]))
        by_package(batch(pairs[:2], 0), batch(pairs[:2], 1))
        for start in range(0, len(pairs), options.batch):
            part = pairs[start : start + options.batch]
            restored, target = batch(part, 0), batch(part, 1)
            clock = [time.perf_counter()]
            expected = np.array(list(map(by_skimage, part)))
            clock.append(time.perf_counter())
            list(pool.map(by_skimage, part))
            clock.append(time.perf_counter())
            got = by_package(restored, target).numpy()
            clock.append(time.perf_counter())
            for name, spent in zip(seconds, np.diff(clock), strict=True):
                seconds[name] += float(spent)
            worst = np.maximum(worst, np.abs(got - expected).max(axis=0))

    ratio = {name: seconds[name] / seconds["restore"] for name in ("skimage", "skimage_pool")}
    difference = {"psnr": float(worst[[0, 2]].max()), "ssim": float(worst[[1, 3]].max())}
    if options.json:
        sizes = {"images": len(pairs), "threads": options.threads}
        print(json.dumps(sizes | {"seconds": seconds, "ratio": ratio, "largest_difference": difference}))
        return
    print(f"{len(pairs)} images of 480x320, PSNR + SSIM on luma and colours, {options.threads} thread(s)")
    print(f"scikit-image, loop  {seconds['skimage']:6.2f} s  ratio {ratio['skimage']:.2f}")
    print(f"scikit-image, pool  {seconds['skimage_pool']:6.2f} s  ratio {ratio['skimage_pool']:.2f}")
    print(f"restore             {seconds['restore']:6.2f} s")
    print(f"largest difference {difference['psnr']:.1e} dB, SSIM {difference['ssim']:.1e}")


if __name__ == "__main__":
    main()
