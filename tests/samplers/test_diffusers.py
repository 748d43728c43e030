"""One step of each sampler against the schedulers of diffusers, an independent implementation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.diffusion.parameterization import PredictionKind, noised, prediction_target, to_x0
from restore.diffusion.schedule import Linear, Schedule
from restore.diffusion.update import ddim_update
from restore.diffusion.variance import log_variance
from restore.samplers import DPMSolver, RecordedNoise
from restore.samplers.ancestral import ancestral_mean
from restore.samplers.dpm_solver import multistep_update, singlestep_update

pytestmark = pytest.mark.filterwarnings("ignore")

T = 1000
SCHEDULE = Linear(steps=T).build()
SPACINGS = ["leading", "trailing", "linspace"]
THEIRS: dict[PredictionKind, str] = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


def drawn(n: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64) for _ in range(n)]


def outputs(prediction: PredictionKind, t: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return x_t, a network's output there, and the x0 that it stands for."""
    x0, eps = drawn(2, t)
    alpha_bar = SCHEDULE.level(t, 2).alpha_bar
    x_t = noised(x0, eps, alpha_bar)
    # not the exact answer: a network's is not
    output = prediction_target(x0, eps, alpha_bar, prediction, x0) + 0.1 * drawn(1, t + 1)[0]
    return x_t, output, to_x0(output, x_t, alpha_bar, prediction, x0)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs.to(ours), rtol=0, atol=1e-6 * max(1.0, theirs.abs().max().item()))


@pytest.fixture
def configured():
    """A scheduler of theirs with float64 tables, at n steps of a spacing."""
    import diffusers

    def build(name: str, n: int, spacing: str | None, **options: object):
        if spacing is not None:
            options["timestep_spacing"] = spacing
        scheduler = getattr(diffusers, name)(num_train_timesteps=T, trained_betas=SCHEDULE.beta.tolist(), **options)
        scheduler.alphas_cumprod = SCHEDULE.alpha_bar[1:].clone()
        scheduler.betas = SCHEDULE.beta.clone()
        scheduler.alphas = 1 - scheduler.betas
        scheduler.one = torch.tensor(1.0, dtype=torch.float64)
        if hasattr(scheduler, "final_alpha_cumprod"):
            scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
        scheduler.set_timesteps(n)
        return scheduler

    return build


@pytest.mark.parametrize("prediction", THEIRS)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("clip", [False, True])
def test_ddim(prediction: PredictionKind, spacing: str, eta: float, clip: bool, configured) -> None:
    scheduler = configured("DDIMScheduler", 10, spacing, prediction_type=THEIRS[prediction], clip_sample=clip)
    (noise,) = drawn(1, 99)
    for step in scheduler.timesteps[:-1].tolist():
        t = step + 1
        u = t - T // 10  # where they always go, whatever the spacing
        if u < 1:
            continue
        x_t, output, x0 = outputs(prediction, t)
        theirs = scheduler.step(
            output, step, x_t, eta=eta, use_clipped_model_output=clip, variance_noise=noise if eta else None
        )
        x0 = x0.clamp(-1, 1) if clip else x0
        a_t, a_u = float(SCHEDULE.alpha_bar[t]), float(SCHEDULE.alpha_bar[u])
        ours = ddim_update(x_t, x0, a_t, a_u, eta, RecordedNoise([noise]).draw)
        close(ours, theirs.prev_sample)
        close(x0, theirs.pred_original_sample)


@pytest.mark.parametrize("prediction", THEIRS)
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize(
    ("variance", "named"), [("beta_tilde", "fixed_small"), ("beta", "fixed_large"), ("learned", "learned_range")]
)
def test_ddpm(prediction: PredictionKind, spacing: str, variance, named: str, configured) -> None:
    scheduler = configured(
        "DDPMScheduler", 10, spacing, prediction_type=THEIRS[prediction], variance_type=named, clip_sample=True
    )
    levels = SCHEDULE.steps(10, spacing)
    steps = SCHEDULE.transitions(levels)
    assert levels[:-1] == [t + 1 for t in scheduler.timesteps.tolist()]
    for i, t in enumerate(levels[:-2]):
        x_t, output, x0 = outputs(prediction, t)
        (raw,) = drawn(1, 7)
        raw = raw.clamp(-1, 1)
        said = torch.cat([output, raw], dim=1) if variance == "learned" else output
        seeded = torch.Generator().manual_seed(3)
        theirs = scheduler.step(said, t - 1, x_t, generator=seeded).prev_sample
        noise = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(3), dtype=x_t.dtype)
        estimate = Estimate(x0.clamp(-1, 1), (raw + 1) / 2)
        deviation = (log_variance(steps.at(i), variance, estimate.fraction) / 2).exp()
        close(ancestral_mean(estimate, x_t, steps.at(i), variance) + deviation * noise, theirs)


def lambdas(scheduler) -> list[float]:
    """Their noise levels as log(a / s)."""
    return [-float(torch.as_tensor(s).double().log()) for s in scheduler.sigmas[:-1]]


@pytest.mark.parametrize("prediction", THEIRS)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_dpm_solver_multistep(prediction: PredictionKind, spacing: str, order: int, configured) -> None:
    scheduler = configured(
        "DPMSolverMultistepScheduler",
        20,
        spacing,
        prediction_type=THEIRS[prediction],
        solver_order=order,
        algorithm_type="dpmsolver++",
        lower_order_final=False,
        final_sigmas_type="zero",
    )
    scheduler.sigmas = scheduler.sigmas.double()
    at, known, x_t = lambdas(scheduler), [], outputs(prediction, T)[0]
    for i, step in enumerate(scheduler.timesteps.tolist()[:-1]):
        (output,) = drawn(1, i)
        # their level is the one whose sigma they use, which float32 moves by a little
        alpha_bar = torch.full((2,), float(torch.tensor(2 * at[i], dtype=torch.float64).sigmoid()), dtype=torch.float64)
        known = [to_x0(output, x_t, alpha_bar, prediction, x_t), *known[: order - 1]]
        theirs = scheduler.step(output, step, x_t).prev_sample
        ours = multistep_update(x_t, known, at[i::-1][: len(known)], at[i + 1], published=True)
        close(ours, theirs)
        x_t = ours


@pytest.mark.parametrize("prediction", THEIRS)
def test_dpm_solver_singlestep(prediction: PredictionKind, configured) -> None:
    scheduler = configured(
        "DPMSolverSinglestepScheduler",
        10,
        None,  # theirs knows one spacing
        prediction_type=THEIRS[prediction],
        solver_order=2,
        algorithm_type="dpmsolver++",
        lower_order_final=True,
    )
    scheduler.sigmas = scheduler.sigmas.double()
    at, start, before, compared = lambdas(scheduler), None, None, 0
    x_t = outputs(prediction, T)[0]
    for i, step in enumerate(scheduler.timesteps.tolist()[:-1]):
        (output,) = drawn(1, i)
        alpha_bar = torch.full((2,), float(torch.tensor(2 * at[i], dtype=torch.float64).sigmoid()), dtype=torch.float64)
        x0 = to_x0(output, x_t, alpha_bar, prediction, x_t)
        theirs = scheduler.step(output, step, x_t).prev_sample
        if scheduler.order_list[i] == 1:
            ours, start, before = multistep_update(x_t, [x0], [at[i]], at[i + 1]), x_t, x0
        else:
            ours = singlestep_update(start, before, x0, (at[i - 1], at[i]), at[i + 1])
            compared += 1
        close(ours, theirs)
        x_t = ours
    assert compared >= 3


@pytest.mark.parametrize("order", [1, 2])
def test_a_whole_dpm_solver_loop(order: int, configured) -> None:
    scheduler = configured(
        "DPMSolverMultistepScheduler",
        20,
        "trailing",
        solver_order=order,
        algorithm_type="dpmsolver++",
        final_sigmas_type="zero",
    )

    def network(x_t: Tensor, t: int) -> Tensor:
        return 0.8 * x_t * (t / T) ** 0.5 + 0.05 * torch.sin(3 * x_t)

    def denoiser(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        return Estimate(to_x0(network(x_t, int(level.t[0]) - 1), x_t, level.alpha_bar, "eps", x_t))

    (start,) = drawn(1)
    x = start
    for step in scheduler.timesteps:
        x = scheduler.step(network(x, int(step)), step, x).prev_sample
    levels = SCHEDULE.steps(20, "trailing")
    *_, last = DPMSolver(steps=20, order=order).solve(
        denoiser, Condition(start), SCHEDULE, start, levels, RecordedNoise([])
    )
    torch.testing.assert_close(last.x_t, x.double(), rtol=0, atol=2e-5 * x.abs().max().item())


def test_the_tables_are_the_same(configured) -> None:
    scheduler = configured("DDIMScheduler", 10, "leading")
    assert isinstance(SCHEDULE, Schedule)
    torch.testing.assert_close(scheduler.alphas_cumprod, SCHEDULE.alpha_bar[1:])
