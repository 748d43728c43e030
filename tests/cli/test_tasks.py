"""`restore run` for every task but weather, end to end with real files: sizes, exact pixels, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from restore import images
from restore.cli.console import model_for
from restore.degradations.resolution import shrink_by
from restore.denoisers.tiles import Tiles
from restore.errors import ConfigError
from restore.models import find, native
from restore.models.card import ModelCard
from restore.models.recipe import Recipe
from restore.networks import EfficientUNetSpec
from restore.system import resources
from restore.tasks import Colorization, Compression, Inpainting, SuperResolution, Task, Uncropping


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Task], Path]:
    """A function that writes a small model of a task, with random weights that do change images."""
    folder = tmp_path_factory.mktemp("models")

    def write(task: Task) -> Path:
        path = folder / f"{task.kind}.safetensors"
        network = EfficientUNetSpec(
            channels=(8, 16), blocks=(1, 1), embedding=16, context=8, condition_channels=task.channels
        )
        tiles = Tiles(size=64, overlap=16, batch=3, multiple=4, context=16)
        recipe = Recipe(name=f"tiny-{task.kind}", task=task, network=network, tiles=tiles)
        torch.manual_seed(0)
        built = network.build()
        with torch.no_grad():
            for parameter in built.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        native.save(path, built.state_dict(), recipe.model_dump(mode="json"))
        return path

    return write


@pytest.fixture
def photo(photographs: Path) -> Path:
    return photographs / "coffee.png"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    drawn = np.zeros((96, 128), np.uint8)
    drawn[20:50, 30:90] = 255
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def pixels(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_known_pixels_are_exact_in_8_bit(cli, model, photo: Path, mask: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    weights = model(Inpainting())
    ran = cli("run", photo, "-o", out, "-m", weights, "--task", "inpaint", "--mask", mask, "--steps", 3)
    assert (ran.code, ran.err) == (0, "")
    before, after, hole = pixels(photo), pixels(out), pixels(mask) > 0
    assert np.array_equal(before[~hole], after[~hole])
    assert not np.array_equal(before[hole], after[hole])
    # the task follows from the model; a mask of the other convention fills the same hole
    Image.fromarray(255 - pixels(mask)).save(tmp_path / "keep.png")
    again = cli("run", photo, "-o", tmp_path / "b.png", "-m", weights, "--mask", tmp_path / "keep.png", "--invert-mask",
                "--steps", 3)  # fmt: skip
    assert again.code == 0
    assert np.array_equal(pixels(tmp_path / "b.png"), after)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_known_pixels_are_exact_in_16_bit(cli, model, mask: Path, tmp_path: Path, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (96, 128, channels), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), values)
    ran = cli("run", tmp_path / "deep.png", "-o", tmp_path / "out.png", "-m", model(Inpainting()), "--mask", mask)
    assert ran.code == 0
    after, hole = pixels(tmp_path / "out.png").reshape(96, 128, channels), pixels(mask) > 0
    assert after.dtype == np.uint16
    assert np.array_equal(values[~hole], after[~hole])
    assert not np.array_equal(values[hole], after[hole])


def test_a_folder_of_images_takes_a_folder_of_masks(cli, model, photographs: Path, mask: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in photographs.iterdir():
        if path.stem != "rocket":
            (masks / path.name).write_bytes(mask.read_bytes())
    ran = cli("run", photographs, "-o", tmp_path / "out", "-m", model(Inpainting()), "--mask", masks)
    assert ran.code == 3
    assert "holds no mask named rocket" in ran.err
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_images_of_one_name_in_several_folders_have_masks_of_their_own(cli, model, photo: Path, tmp_path: Path) -> None:
    height, width = pixels(photo).shape[:2]
    for folder, left in (("a", 0), ("b", width // 2)):
        for kind in ("in", "masks"):
            (tmp_path / kind / folder).mkdir(parents=True)
        (tmp_path / "in" / folder / "1.png").write_bytes(photo.read_bytes())
        hole = np.zeros((height, width), np.uint8)
        hole[:, left : left + width // 2] = 255
        Image.fromarray(hole).save(tmp_path / "masks" / folder / "1.png")
    weights = model(Inpainting())
    ran = cli("run", tmp_path / "in", "-r", "-o", tmp_path / "out", "-m", weights, "--mask", tmp_path / "masks")
    assert (ran.code, ran.err) == (0, "")
    a, b, known = (pixels(path) for path in (tmp_path / "out/a/1.png", tmp_path / "out/b/1.png", photo))
    half = width // 2
    assert np.array_equal(a[:, half:], known[:, half:]) and not np.array_equal(a[:, :half], known[:, :half])
    assert np.array_equal(b[:, :half], known[:, :half]) and not np.array_equal(b[:, half:], known[:, half:])
    # one folder of masks, hidden folders left aside, still serves all folders
    flat = tmp_path / "masks" / "b"
    (flat / ".thumbnails").mkdir()
    ran = cli("run", tmp_path / "in", "-r", "-o", tmp_path / "flat", "-m", weights, "--mask", flat)
    assert ran.code == 0 and np.array_equal(pixels(tmp_path / "flat/a/1.png"), b)
    # results among the masks would be taken for masks
    for masks in (tmp_path / "masks", flat):
        ran = cli("run", tmp_path / "in", "-r", "-o", masks, "-m", weights, "--mask", masks)
        assert ran.code == 2 and "among the masks" in ran.err
    # where masks lie in folders, one of another folder is not taken
    (tmp_path / "masks" / "a" / "1.png").rename(tmp_path / "masks" / "1.png")
    ran = cli("run", tmp_path / "in", "-r", "-o", tmp_path / "some", "-m", weights, "--mask", tmp_path / "masks")
    assert ran.code == 3 and f"{Path('masks', 'a')} holds no mask named 1" in ran.err
    assert [path.parent.name for path in (tmp_path / "some").rglob("*.png")] == ["b"]


def test_a_low_resolution_file_comes_back_enlarged(cli, model, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (21, 34, 4), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "small.png"), values)
    out = tmp_path / "large.png"
    weights = model(SuperResolution(scale=4))
    ran = cli("run", tmp_path / "small.png", "-o", out, "-m", weights, "--task", "upscale", "--scale", 4, "--compare")
    assert (ran.code, ran.err) == (0, "")
    assert "136x84" in ran.out
    assert pixels(out).shape == (84, 136, 4)
    ran = cli("run", tmp_path / "small.png", "-o", tmp_path / "x.png", "-m", weights, "--scale", 3)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "trained to enlarge by 4, not by 3" in ran.err


def test_gray_comes_back_in_colour(cli, model, photo: Path, tmp_path: Path) -> None:
    Image.open(photo).convert("L").save(tmp_path / "gray.png")
    out = tmp_path / "out.png"
    assert cli("run", tmp_path / "gray.png", "-o", out, "-m", model(Colorization()), "--task", "colorize").code == 0
    with Image.open(out) as coloured:
        assert coloured.mode == "RGB"
        array = np.asarray(coloured).astype(int)
        luma = np.asarray(coloured.convert("L")).astype(int)
    assert (array.max(-1) - array.min(-1)).max() > 8
    assert np.abs(luma - pixels(tmp_path / "gray.png")).max() <= 1


def test_an_image_grows_beyond_its_borders(cli, model, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "wide.png"
    ran = cli("run", photo, "-o", out, "-m", model(Uncropping()), "--task", "uncrop", "--pad", "16,0,9,5")
    assert (ran.code, ran.err) == (0, "")
    assert pixels(out).shape == (101, 153, 3)
    assert np.array_equal(pixels(out)[:96, 16:144], pixels(photo))


def test_compression_is_undone_in_the_same_size(cli, model, photo: Path, tmp_path: Path) -> None:
    Image.open(photo).save(tmp_path / "bad.jpg", quality=10)
    out = tmp_path / "good.png"
    assert cli("run", tmp_path / "bad.jpg", "-o", out, "-m", model(Compression()), "--task", "jpeg").code == 0
    assert pixels(out).shape == pixels(photo).shape


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (Inpainting(), ["--mask", "{empty}"], "the mask is empty"),
        (Inpainting(), ["--mask", "{small}"], "the mask has 10x10 pixels, the image 128x96"),
        (Inpainting(), ["--mask", "{missing}"], "no such mask"),
        (Inpainting(), [], "needs a mask: pass --mask"),
        (Compression(), ["--mask", "{empty}"], "no use for a mask"),
        (Compression(), ["--scale", "2"], "no use for a scale"),
        (Compression(), ["--task", "upscale"], "does not know task 'upscale'"),
        (Uncropping(), ["--pad", "1,2,3"], "four numbers of pixels"),
        (Uncropping(), ["--pad", "0,0,0,0"], "0,0,0,0"),
        (Uncropping(), [], "--pad left,top,right,bottom"),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(
    cli, model, photo: Path, tmp_path: Path, task: Task, options: list[str], message: str
) -> None:
    Image.new("L", (128, 96)).save(tmp_path / "empty.png")
    Image.fromarray(np.eye(10, dtype=np.uint8) * 255).save(tmp_path / "small.png")
    files = {name: tmp_path / f"{name}.png" for name in ("empty", "small", "missing")}
    ran = cli("run", photo, "-o", tmp_path / "out.png", "-m", model(task), *(o.format(**files) for o in options))
    assert ran.code == 2
    assert ran.err.startswith("error: ") and ran.err.count("\n") == 1
    assert message in ran.err
    assert not (tmp_path / "out.png").exists()


def test_a_task_that_no_shipped_model_knows(cli, photo: Path, tmp_path: Path) -> None:
    ran = cli("run", photo, "-o", tmp_path / "out.png", "--task", "develop")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "no model that ships knows task 'develop'" in ran.err


def test_the_model_for_a_task_is_the_one_that_was_made_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_recipe
) -> None:
    cards = {
        "filling": (Inpainting(), {"inpaint": "unknown", "uncrop": "unknown"}),
        "twice": (SuperResolution(scale=2), {"upscale": "unknown"}),
        "thrice": (SuperResolution(scale=3), {"upscale": "unknown"}),
        "wider": (Uncropping(), {"uncrop": "unknown"}),
        "absent": (Compression(), {"jpeg": "unknown"}),
    }

    def card(name: str) -> ModelCard:
        task, tasks = cards[name]
        recipe = tiny_recipe.model_copy(update={"name": name, "task": task, "tasks": tasks})
        facts = dict.fromkeys(("summary", "sha256", "licence", "data", "command"), "-")
        return ModelCard.model_construct(recipe=recipe, weights=f"{name}.safetensors", **facts)

    monkeypatch.setattr(resources, "list_configs", lambda kind: sorted(cards))
    monkeypatch.setattr(resources, "list_weights", lambda: sorted(set(cards) - {"absent"}))
    monkeypatch.setattr(find, "model_card", card)
    assert model_for(None) == "weather"
    assert model_for("inpaint") == "filling"
    assert model_for("uncrop") == "wider"
    assert [model_for("upscale", scale) for scale in (2, 3)] == ["twice", "thrice"]
    with pytest.raises(ConfigError, match="no model that ships enlarges by 5; there are models for 2, 3"):
        model_for("upscale", 5)
    with pytest.raises(ConfigError, match="the tasks are inpaint, uncrop, upscale"):
        model_for("jpeg")


def test_bicubic_against_itself_has_its_published_psnr(cli, shared: Path, tmp_path: Path) -> None:
    root = shared / "data/super_resolution/Set5"
    report = tmp_path / "scores.csv"
    ran = cli(
        *("evaluate", "set5", "--root", root, "--degradation", "bicubic-x4", "--model", "none"),
        *("--protocol", "sr", "--scale", 4, "--csv", report, "--metric", "psnr"),
    )
    assert ran.code == 0, ran.err
    row = next(line for line in ran.out.splitlines() if line.startswith("bicubic-x4"))
    assert "28.43" in row


def test_low_resolution_files_are_evaluated(cli, model, photographs: Path, tmp_path: Path) -> None:
    """The score before is that of the bicubic enlargement, as it is where the degradation is made."""
    low = tmp_path / "low"
    low.mkdir()
    for path in photographs.iterdir():
        clean = images.read(path).pixels[None].add(1).div(2)
        images.write(images.Photo(shrink_by(clean, 4)[0] * 2 - 1), low / path.name)
    weights, rows = model(SuperResolution(scale=4)), []
    for how in (["--input", low, "--target", photographs], ["--clean", photographs, "--degradation", "bicubic-x4"]):
        ran = cli("evaluate", *how, "--model", weights, "--protocol", "sr", "--scale", 4)
        assert ran.code == 0, ran.err
        rows.append(ran.out.splitlines()[2].split())
    made = rows[1][rows[1].index("sr") :]
    # an image on disk is enlarged without being rounded to 8 bits; the last column is the time
    for one, other in zip(rows[0][rows[0].index("sr") + 1 : -1], made[1:-1], strict=True):
        if one.replace(".", "").isdecimal():
            assert abs(float(one) - float(other)) < 0.02


@pytest.mark.parametrize(
    ("task", "degradation"),
    [(SuperResolution(scale=4), "bicubic-x4"), (Inpainting(), "mask-box"), (Compression(), "jpeg-q10")],
)
def test_models_are_evaluated_on_made_images(cli, model, photographs: Path, task: Task, degradation: str) -> None:
    for batch in (1, 3):
        ran = cli(
            *("evaluate", "--clean", photographs, "--degradation", degradation, "--model", model(task)),
            *("--limit", 3, "--batch", batch, "--severity", 1, "--protocol", "rgb"),
        )
        assert ran.code == 0, ran.err
        assert f"{degradation}  {task.kind}" in ran.out
