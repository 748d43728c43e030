"""What shapes cannot tell: who is asked, in which order, and what is said of it."""

from __future__ import annotations

import json

import pytest

from restore.errors import CheckpointError, ConfigError
from restore.models.published.settings import OriginalSettings, read_config

PALETTE = """{
    "name": "inpainting", // experiments name, http://not.a/comment
    /* a block
       comment */
    "model": {
        "which_networks": [
            {"name": ["models.network", "Network"], "args": {
                "unet": {"inner_channel": 64, "attn_res": [\t// rate\n\t16,\t],},
                "beta_schedule": {"train": {"linear_start": 1e-6}}
            }}
        ]
    },
}"""


def test_json_with_comments_and_trailing_commas(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(PALETTE)
    settings = OriginalSettings((), read_config(path))
    assert settings.find(int, "unet.inner_channel") == (64, "config")
    assert settings.find(list[int], "attn_res") == ([16], "config")
    assert settings.find(float, "train.linear_start") == (1e-6, "config")
    assert settings.find(str, "name") == ("inpainting", "config")


def test_a_comment_inside_a_string_is_text(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"a": "http://x//y", "b": "/* no */"}')
    assert read_config(path) == {"a": "http://x//y", "b": "/* no */"}


def test_plain_json_and_yaml_say_the_same(tmp_path):
    document = {"model": {"ch": 128, "ch_mult": [1, 2], "dropout": 0.0}, "x": None, "y": True}
    path, other = tmp_path / "config.json", tmp_path / "config.yml"
    path.write_text(json.dumps(document, indent="\t"))
    other.write_text(json.dumps(document))
    assert read_config(path) == read_config(other) == document


@pytest.mark.parametrize(("name", "text"), [("a.json", "[1, 2]"), ("a.json", "{"), ("a.yml", "- 1"), ("a.json", None)])
def test_configs_that_are_none(tmp_path, name, text):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=str(path)):
        read_config(path)


def test_the_user_is_asked_first():
    settings = OriginalSettings(["unet.norm_groups=4"], {"unet": {"norm_groups": 8, "dropout": 0.3}}, "config file")
    settings.add("published x", {"norm_groups": 16, "heads": 2})
    assert settings.get(int, 32, "norm_groups") == 4
    assert settings.get(float, 0.0, "dropout") == 0.3
    assert settings.get(int, 1, "heads") == 2
    assert settings.get(int, 1, "unheard_of") == 1
    assert settings.given == {
        "norm_groups": "4 (key=value)",
        "dropout": "0.3 (config file)",
        "heads": "2 (published x)",
    }
    assert settings.assumed == {"unheard_of": "1"}


def test_the_first_source_decides_between_settings_that_exclude_each_other():
    settings = OriginalSettings(["num_heads=2"], {"num_head_channels": 64})
    assert settings.first("num_head_channels", "num_heads") == "key=value"
    assert settings.find(int, "num_head_channels", source="key=value") is None


def test_a_setting_that_nobody_asked_for():
    settings = OriginalSettings(["norm_gruops=4"])
    settings.get(int, 32, "norm_groups")
    with pytest.raises(ConfigError, match="unknown setting norm_gruops; this family knows norm_groups"):
        settings.refuse_unused()


def test_a_value_of_the_wrong_kind():
    with pytest.raises(ConfigError, match="norm_groups"):
        OriginalSettings(["norm_groups=many"]).get(int, 32, "norm_groups")
    with pytest.raises(ConfigError, match=r"key\.sub=value"):
        OriginalSettings(["norm_groups"])


def test_a_config_of_another_model():
    settings = OriginalSettings((), {"model": {"ch": 128}}, "config file a.yml")
    settings.check(int, 128, "model.ch")
    with pytest.raises(CheckpointError, match=r"model\.ch is 128 by the config file a\.yml, but the tensors .* 64"):
        settings.check(int, 64, "model.ch")
