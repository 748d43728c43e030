"""From a file of an original to one of ours: what is chosen, what is said, what is refused."""

from __future__ import annotations

import copy
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from restore.errors import CheckpointError, ConfigError, TensorMismatch
from restore.models.native import read_metadata
from restore.models.published import CheckpointWarning, convert, open_checkpoint, pickles, source_of
from restore.restoration.restorer import Restorer
from restore.tasks import Request

FILES = {
    "weatherdiffusion": "ckpts/RainDrop_ddpm.pth.tar",
    "palette": "guided_diffusion/190_Network.pth",
    "sr3": "sr3/I1560000_E91_gen.pth",
    "guided_diffusion": "superres/model100000.pt",
}


@pytest.fixture
def weather(golden):
    g = golden("weatherdiffusion")
    return g.folder / g.facts["checkpoint"]["file"]


def changed(path, out, change):
    """Write a copy of a file of an original after `change(content)`."""
    content = copy.deepcopy(pickles.load_pickle(path))
    change(content)
    torch.save(content, out)
    return out


PHOTOGRAPHS = {
    "weatherdiffusion": ([], 1),
    "palette": (["image_size=16"], 1),
    "sr3": (["image_size=16", "scale=2"], 2),
    "guided_diffusion": (["large_size=16", "small_size=8"], 2),
}


@pytest.mark.parametrize("family", list(FILES))
def test_a_photograph_of_odd_size(golden, tmp_path, family):
    """The original file and the converted one restore it alike."""
    g, (overrides, scale) = golden(family), PHOTOGRAPHS[family]
    source, out = g.folder / FILES[family], tmp_path / "converted.safetensors"
    report = convert(source, out, None, overrides)
    photo = np.random.default_rng(0).integers(0, 256, (19, 21, 3), dtype=np.uint8)
    mask = torch.zeros(1, 19, 21)
    mask[:, 4:9, 3:8] = 1
    request = Request(mask=mask) if family == "palette" else Request()
    models = [
        Restorer.from_pretrained(source, "cpu", torch.float32, overrides=overrides),
        Restorer.from_pretrained(out, "cpu", torch.float32),
    ]
    restored = [model(photo, request=request, steps=2, seed=3) for model in models]
    assert restored[0].shape == (19 * scale, 21 * scale, 3) and restored[0].dtype == np.uint8
    assert np.array_equal(*restored)
    if request.mask is not None:
        known = mask[0].numpy() == 0
        assert np.array_equal(restored[0][known], photo[known]) and not np.array_equal(restored[0], photo)
    document = read_metadata(out)
    assert document["training"]["converted_from"]["family"] == report.family
    assert document["recipe"] == report.recipe


def test_what_is_said(weather, tmp_path):
    text = convert(weather, tmp_path / "out.safetensors").summary()
    for words in (
        "weather-diffusion",
        "average (ema_helper)",
        "1,660,611",
        "resolution:  16",
        "steps 1000",
        "[64, 96]",
    ):
        assert words in text
    assert "config in the file" in text and "trained on RainDrop" in text


def test_the_average_is_taken_where_there_is_one(golden, weather, tmp_path):
    average, raw = open_checkpoint(weather), open_checkpoint(weather, None, ["weights=raw"])
    content = pickles.load_pickle(weather)
    assert torch.equal(average.tensors["stem.weight"], content["ema_helper"]["conv_in.weight"])
    assert torch.equal(raw.tensors["stem.weight"], content["state_dict"]["module.conv_in.weight"])
    g = golden("palette")
    beside = open_checkpoint(g.folder / FILES["palette"])
    assert beside.conversion is not None and beside.conversion.weights == "average (190_Network_ema.pth)"
    shutil.copy(g.folder / FILES["palette"], tmp_path / "190_Network.pth")
    assert beside.conversion.source == source_of(g.folder / FILES["palette"]) != g.folder / FILES["palette"]
    taken = open_checkpoint(tmp_path / "190_Network.pth")
    assert taken.conversion is not None and taken.conversion.weights == "the only ones (190_Network.pth)"
    asked = open_checkpoint(g.folder / FILES["palette"], None, ["weights=raw"])
    assert torch.equal(asked.tensors["stem.weight"], taken.tensors["stem.weight"])
    assert not torch.equal(asked.tensors["stem.weight"], beside.tensors["stem.weight"])
    average = FILES["palette"].replace("_Network", "_Network_ema")
    with pytest.raises(ConfigError, match=r"holds the average .* lie in 190_Network\.pth"):
        open_checkpoint(g.folder / average, None, ["weights=raw"])


def test_an_average_that_is_absent(weather, tmp_path):
    for absent in (lambda content: content.pop("ema_helper"), lambda content: content.update(ema_helper=None)):
        path = changed(weather, tmp_path / "file.pth.tar", absent)
        with pytest.warns(CheckpointWarning, match=r"no average of the weights .* those of the last step are taken"):
            opened = open_checkpoint(path)
        raw = open_checkpoint(path, None, ["weights=raw"])  # who says so needs no warning
        assert opened.conversion is not None and opened.conversion.weights == "last step (state_dict)"
        assert all(torch.equal(value, raw.tensors[name]) for name, value in opened.tensors.items())
        with pytest.raises(ConfigError, match=r"no average of the weights; weights=raw"):
            open_checkpoint(path, None, ["weights=ema"])


@pytest.mark.parametrize("family", list(FILES))
@pytest.mark.parametrize("fault", ["missing", "extra", "transposed"])
def test_planted_faults(golden, tmp_path, family, fault):
    g = golden(family)
    content = pickles.load_pickle(g.folder / FILES[family])
    state = dict(content.get("ema_helper", content))
    prefix = next((p for p in ("denoise_fn.",) if p + "downs.0.weight" in state or p + "out.0.weight" in state), "")
    name = {
        "weatherdiffusion": "up.0.block.0.conv1.weight",
        "palette": prefix + "output_blocks.0.0.in_layers.2.weight",
        "sr3": prefix + "ups.0.res_block.block1.block.3.weight",
        "guided_diffusion": "output_blocks.0.0.in_layers.2.weight",
    }[family]
    words = f"missing {name}"
    if fault == "missing":
        del state[name]
    elif fault == "extra":
        state[prefix + "surplus.weight"] = torch.zeros(3)
        words = f"left over {prefix}surplus.weight"
    else:
        state[name] = state[name].detach().transpose(0, 1).contiguous()
        words = f"{name} is .* expected"
    path = tmp_path / "faulty.pth"
    torch.save(state, path)
    with pytest.raises(TensorMismatch, match=words):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [("conv_out.weight", r"missing conv_out\.weight"), ("conv_in.weight", r"no tensor conv_in\.weight")],
)
def test_a_first_tensor_that_is_missing(weather, tmp_path, name, words):
    path = changed(weather, tmp_path / "file.pth", lambda content: content["ema_helper"].pop(name))
    with pytest.raises(TensorMismatch, match=words):
        open_checkpoint(path)


def test_a_truncated_file(weather, tmp_path):
    path = tmp_path / "cut.pth.tar"
    path.write_bytes(weather.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="cut short"):
        open_checkpoint(path)


def test_not_a_number(weather, tmp_path):
    def spoil(content):
        content["ema_helper"]["conv_in.bias"][0] = float("nan")

    path = changed(weather, tmp_path / "file.pth", spoil)
    with pytest.raises(TensorMismatch, match=r"NaN or infinity in conv_in\.bias"):
        convert(path, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
    with pytest.raises(TensorMismatch, match=r"NaN or infinity in conv_in\.bias"):
        Restorer.from_pretrained(path, "cpu")


def test_files_without_weights(golden, tmp_path):
    with pytest.raises(CheckpointError, match="state of an optimizer"):
        open_checkpoint(golden("sr3").folder / "sr3" / "I1560000_E91_opt.pth")
    with pytest.raises(CheckpointError, match="state of an optimizer"):
        open_checkpoint(golden("palette").folder / "sr3" / "190.state")
    path = tmp_path / "x.pth"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(CheckpointError, match="holds a list"):
        open_checkpoint(path)
    torch.save({"a": {"b": 1}}, path)
    with pytest.raises(CheckpointError, match="no tensors by name"):
        open_checkpoint(path)
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"no known family .* its first tensors are a"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("weights=best", "ema or raw"),
        ("family=unheard", "unknown family"),
        ("norm_groups=3", "must divide"),
        ("norm_gruops=4", "unknown setting norm_gruops"),
        ("val.schedule=spiral", "unknown schedule 'spiral'"),
        ("val.schedule=warmupX", "unknown schedule 'warmupX'"),
        ("val.schedule=warmup101", "unknown schedule 'warmup101'"),
    ],
)
def test_overrides_that_are_wrong(golden, override, words):
    with pytest.raises(ConfigError, match=words):
        open_checkpoint(golden("sr3").folder / FILES["sr3"], None, [override])


def test_heads_that_do_not_divide(golden):
    with pytest.raises(ConfigError, match="num_heads cannot be 5"):
        open_checkpoint(golden("guided_diffusion").folder / FILES["guided_diffusion"], None, ["num_heads=5"])


def test_the_config_of_another_model(golden, weather):
    g = golden("weatherdiffusion")
    config = g.config({**g.facts["config"], "model": {**g.facts["config"]["model"], "ch": 128}})
    with pytest.raises(CheckpointError, match="is this the config of another model"):
        open_checkpoint(weather, config)


def test_wrappers_are_stripped(weather, tmp_path):
    state = pickles.load_pickle(weather)["ema_helper"]
    path = tmp_path / "wrapped.pth"
    torch.save({"state_dict": {f"module._orig_mod.{name}": value for name, value in state.items()}}, path)
    opened = open_checkpoint(path)
    assert torch.equal(opened.tensors["head.bias"], state["conv_out.bias"])


def test_half_precision_becomes_single(weather, tmp_path):
    state = pickles.load_pickle(weather)["ema_helper"]
    path = tmp_path / "half.pth"
    torch.save({name: value.half() for name, value in state.items()}, path)
    assert {value.dtype for value in open_checkpoint(path).tensors.values()} == {torch.float32}


def test_the_original_as_safetensors(golden, weather, tmp_path):
    """Somebody converted the file, but to no format of ours: names and shapes are still the original's."""
    path = tmp_path / "weights.safetensors"
    save_file({name: value.clone() for name, value in pickles.load_pickle(weather)["ema_helper"].items()}, path)
    opened, direct = open_checkpoint(path), open_checkpoint(weather)
    assert opened.conversion is not None and opened.conversion.family == "weather_diffusion"
    assert all(torch.equal(opened.tensors[name], value) for name, value in direct.tensors.items())


def test_a_file_of_ours(weather, tmp_path):
    out = tmp_path / "out.safetensors"
    convert(weather, out)
    opened = open_checkpoint(out)
    assert opened.conversion is None and opened.recipe["name"] == "weather-diffusion-16"
    with pytest.raises(CheckpointError, match="file of this package already"):
        convert(out, tmp_path / "again.safetensors")
    with pytest.raises(ConfigError, match="carries its recipe"):
        open_checkpoint(out, None, ["weights=raw"])


def test_the_target_is_called_safetensors(weather, tmp_path):
    with pytest.raises(ConfigError, match=r"\*\.safetensors, not out\.pt"):
        convert(weather, tmp_path / "out.pt")


def test_a_classifier_restores_nothing(golden, tmp_path):
    g = golden("guided_diffusion")
    path = g.folder / g.facts["models"]["classifier"]["file"]
    report = convert(path, tmp_path / "c.safetensors", g.config(g.facts["models"]["classifier"]["kwargs"]))
    assert report.recipe["kind"] == "classifier"
    for file in (path, tmp_path / "c.safetensors"):
        with pytest.raises(ConfigError, match="is a classifier"):
            Restorer.from_pretrained(file, "cpu")


def test_palette_without_tables_is_told_from_sr3(golden, tmp_path):
    """The average of Palette's second U-Net has the tensors of SR3's network and nothing else."""
    folder = golden("palette").folder / "sr3"
    average = folder / "190_Network_ema.pth"
    opened = open_checkpoint(average)
    assert opened.recipe["level_input"] == "alpha_bar"
    renamed = tmp_path / "weights.pth"
    shutil.copy(average, renamed)
    assert open_checkpoint(renamed).recipe["level_input"] == "sqrt_alpha_bar"
    assert open_checkpoint(renamed, None, ["family=palette"]).recipe["level_input"] == "alpha_bar"
    config = golden("palette").config(golden("palette").facts["modules"]["sr3"]["config"])
    assert open_checkpoint(renamed, config).recipe["level_input"] == "alpha_bar"


def test_presets_reach_the_restorer(weather):
    fast, published = (Restorer.from_pretrained(weather, "cpu", preset=name) for name in (None, "published"))
    assert published.recipe.sampler.spacing == "weatherdiffusion"
    assert fast.recipe.sampler != published.recipe.sampler
    assert published.tiles().grid == published.recipe.tiles.grid == "weatherdiffusion"
    with pytest.raises(ConfigError, match="no preset 'slow'"):
        Restorer.from_pretrained(weather, "cpu", preset="slow")
