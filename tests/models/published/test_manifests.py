"""Every published configuration: each tensor used once, each parameter filled, without a byte of weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from restore.errors import ConfigError
from restore.models.card import ModelCard
from restore.models.find import find_weights, model_card
from restore.models.published.convert import identify
from restore.models.published.keymap import check_keys, rules
from restore.models.published.settings import OriginalSettings
from restore.models.recipe import Recipe
from restore.schema import parse
from restore.system import resources

FAMILIES = {"weatherdiffusion": "weather_diffusion", "palette": "palette", "sr3": "sr3"}
MANIFESTS = json.loads((Path(__file__).resolve().parents[2] / "golden" / "manifests.json").read_text())
PUBLISHED = [name for name in resources.list_configs("models") if model_card(name).original]


@pytest.mark.parametrize("told", [False, True], ids=["from shapes", "with its config"])
def test_it_maps_without_a_rest(published_name, manifest, told):
    entry, state = MANIFESTS[published_name], manifest(published_name)
    found = identify(state, OriginalSettings((), entry["config"] if told else None))
    family = published_name.split(".")[0]
    assert found.family == FAMILIES.get(family, family)
    with torch.device("meta"):
        network = found.network.build()
    mapping = rules(network, found.keymap)
    check_keys(mapping, {name: state[name] for name in state if name not in found.tables}, published_name)
    assert {rule.target for rule in mapping} == set(network.state_dict())
    tables = sum(state[name].numel() for name in found.tables)
    assert sum(p.numel() for p in network.parameters()) + tables == entry["elements"]
    config = entry["config"]
    size = config.get("data", config.get("unet", config.get("diffusion", config))).get("image_size")
    size = config.get("diffusion", {}).get("image_size", size) or config.get("large_size")
    if told or not published_name.startswith("palette.colorization"):
        assert found.resolution == size


@pytest.mark.parametrize("name", PUBLISHED)
def test_its_card_is_what_its_shapes_say(name, manifest):
    card = model_card(name)
    manifest_name = next(key for key in MANIFESTS if same_model(key, name))
    entry = MANIFESTS[manifest_name]
    assert card.original is not None
    found = identify(manifest(manifest_name), OriginalSettings((), {**flat(entry["config"]), **card.original.settings}))
    document = {**found.recipe, "network": found.network.model_dump(mode="json")}
    if card.recipe.model_dump(mode="json").get("kind") == "classifier":
        assert document["network"] == card.recipe.network.model_dump(mode="json")
        return
    assert isinstance(card.recipe, Recipe)
    derived = parse(Recipe, document, name)
    same = {"sampling_schedule": card.recipe.sampling_schedule or card.recipe.schedule, "name": name}
    made = {"sampling_schedule": derived.sampling_schedule or derived.schedule, "name": name}
    assert derived.model_copy(update=made) == card.recipe.model_copy(update=same)
    assert "published" in card.recipe.presets


def same_model(key: str, name: str) -> bool:
    words = {
        "weatherdiffusion.allweather": "weatherdiff64",
        "weatherdiffusion.allweather128": "weatherdiff128",
        "palette.inpainting_celebahq": "palette-celebahq-inpainting",
        "palette.inpainting_places2": "palette-places2-inpainting",
        "sr3.sr_sr3_16_128": "sr3-16-128",
        "sr3.sr_sr3_64_512": "sr3-64-512",
        "sr3.sample_sr3_128": "sr3-generate-128",
        "guided_diffusion.64_256_upsampler": "guided-diffusion-64-256",
        "guided_diffusion.128_512_upsampler": "guided-diffusion-128-512",
    }
    if key in words:
        return words[key] == name
    family, rest = key.split(".")
    size = rest.split("x")[0]
    if family == "weatherdiffusion":
        return name == f"weatherdiff-{rest}"
    if "classifier" in rest:
        return name == f"guided-diffusion-classifier-{size}"
    return name == f"guided-diffusion-{size}{'-uncond' if rest.endswith('uncond') else ''}"


def flat(config: dict) -> dict:
    return {key: value for key, value in config.items() if key != "data"}


def test_every_published_model_of_the_issue_has_a_card():
    kinds = {name.split("-")[0].rstrip("0123456789") for name in PUBLISHED}
    assert kinds == {"weatherdiff", "palette", "sr", "guided"}
    assert len(PUBLISHED) == 21


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_card_says_where_the_file_is(name):
    card = model_card(name)
    assert card.sha256 == "unknown"
    assert card.url.startswith("https://") or "not released" in card.summary
    with pytest.raises(ConfigError, match="do not ship"):
        find_weights(name)


def test_a_card_needs_weights_or_an_original():
    document = yaml.safe_load(resources.config_path("models", "weatherdiff64").read_text())
    del document["original"]
    with pytest.raises(ConfigError, match="either ships"):
        parse(ModelCard, document, "card")


def test_a_preset_changes_sampler_patches_and_threshold_together():
    recipe = model_card("weatherdiff64").recipe
    assert isinstance(recipe, Recipe)
    published = recipe.preset("published")
    assert (published.sampler.steps, published.tiles.stride, published.threshold.kind) == (25, 16, "none")
    assert recipe.sampler.steps != 25 and recipe.threshold.kind == "static"
    with pytest.raises(ConfigError, match="no preset 'fast'; it has published"):
        recipe.preset("fast")
