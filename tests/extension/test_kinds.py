"""Kinds that installed packages add: found when they are named, and harmless when they are broken."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter

from restore.degradations import Degradation, Mixture, Random
from restore.degradations.names import named
from restore.errors import ArrayError, ConfigError
from restore.models.recipe import Recipe
from restore.samplers import SamplerSpec
from restore.schema import Extended, ExtensionWarning, Spec, parse

DIM = """
from typing import Literal
from restore.schema import Spec

class Dim(Spec):
    '''Less light.'''
    kind: Literal["dim"] = "dim"
    by: float = 0.5

    def __call__(self, clean, random, severity=None):
        strength = random.severity(severity)[:, None, None, None]
        return clean * (1 - self.by * strength)

class Smaller(Dim):
    kind: Literal["smaller"] = "smaller"

    def __call__(self, clean, random, severity=None):
        return clean[..., :-1]

class Silent(Spec):
    kind: Literal["silent"] = "silent"

class Nameless(Dim):
    kind: str = "other"

number = 3
"""
EULER = """
from typing import Literal
from restore.samplers import DDIM

class Euler(DDIM):
    kind: Literal["euler"] = "euler"
"""


def test_a_kind_of_a_package_is_one_more_kind(package) -> None:
    package("dim-light", {"a.py": DIM}, {"restore.degradations": {"dim": "dim_light.a:Dim"}})
    spec = parse(Degradation, {"kind": "dim", "by": 0.25}, "here")
    assert type(spec).__name__ == "Dim" and spec.by == 0.25
    adapter = TypeAdapter(Degradation)
    assert adapter.validate_json(adapter.dump_json(spec)) == spec == adapter.validate_python(spec)
    assert adapter.dump_python(spec) == {"kind": "dim", "by": 0.25}
    assert pickle.loads(pickle.dumps(spec)) == spec
    with pytest.raises(ConfigError, match=r"here: by: .*valid number.*got 'much'"):
        parse(Degradation, {"kind": "dim", "by": "much"}, "here")
    with pytest.raises(ConfigError, match=r"here: there is no key bye in kind dim; did you mean by\?"):
        parse(Degradation, {"kind": "dim", "bye": 1}, "here")


def test_nothing_is_imported_before_it_is_named(package) -> None:
    package("dim-light", {"a.py": DIM}, {"restore.degradations": {"dim": "dim_light.a:Dim"}})
    parse(Degradation, {"kind": "rain"}, "here")
    with pytest.raises(ConfigError):
        parse(Degradation, {"kind": "rian"}, "here")
    assert named("snow").kind == "snow"
    assert "dim_light" not in sys.modules
    parse(Degradation, {"kind": "dim"}, "here")
    assert "dim_light.a" in sys.modules


def test_an_unknown_kind_is_told_all_kinds_and_the_nearest(package) -> None:
    package("dim-light", {"a.py": DIM}, {"restore.degradations": {"dim": "dim_light.a:Dim"}})
    with pytest.raises(
        ConfigError, match=r"here: unknown kind 'dimm'; did you mean dim\? choose rain, .*dim \(of dim-l"
    ):
        parse(Degradation, {"kind": "dimm"}, "here")
    with pytest.raises(
        ConfigError, match=r"unknown degradation 'dimm'; did you mean dim\? choose .*bicubic-xN.*dim \("
    ):
        named("dimm")
    with pytest.raises(ConfigError, match=r"unknown kind 'euler'; choose ddim, .*consistency$"):
        parse(SamplerSpec, {"kind": "euler"}, "here")
    for wrong in (3, None, ["dim"], {}, "x" * 1000, "{x}"):
        with pytest.raises(ConfigError) as caught:
            parse(Degradation, {"kind": wrong}, "here")
        assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("dim_light.absent:Dim", "cannot be loaded: ModuleNotFoundError"),
        ("dim_light.a:Absent", "cannot be loaded: AttributeError"),
        ("dim_light.raises:Dim", "cannot be loaded: ZeroDivisionError"),
        ("dim_light.leaves:Dim", "cannot be loaded: SystemExit"),
        ("dim_light.syntax:Dim", "cannot be loaded: SyntaxError"),
        ("dim_light.a:number", "must be a class derived from restore.schema.documents.Spec"),
        ("dim_light.a:Smaller", "its kind is 'smaller'"),
        ("dim_light.a:Nameless", "its kind is 'other'"),
        ("dim_light.a:Silent", "its kind is 'silent'"),
    ],
)
def test_a_broken_package_is_named_and_breaks_nothing_else(package, target: str, said: str) -> None:
    sources = {"a.py": DIM, "raises.py": "1 / 0", "leaves.py": "raise SystemExit('bye')", "syntax.py": "def"}
    package("dim-light", sources, {"restore.degradations": {"dim": target}})
    for look_up in (lambda: parse(Degradation, {"kind": "dim"}, "here"), lambda: named("dim")):
        with pytest.raises(ConfigError) as caught:
            look_up()
        assert said in str(caught.value) and "'dim' of package dim-light 1.0" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert parse(Degradation, {"kind": "rain"}, "here").kind == "rain"
    with pytest.warns(ExtensionWarning) as told:
        schema = TypeAdapter(Degradation).json_schema()
    assert len(told) == 1 and "package dim-light 1.0" in str(told[0].message)
    assert "Rain" in schema["$defs"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was told once
        TypeAdapter(Degradation).json_schema()


def test_what_a_kind_must_have_is_asked_for(package) -> None:
    package("dim-light", {"a.py": DIM}, {"restore.degradations": {"silent": "dim_light.a:Silent"}})
    with pytest.raises(ConfigError, match=r"'silent' of package dim-light 1\.0 \(dim_light\.a:Silent\) lacks __call__"):
        parse(Degradation, {"kind": "silent"}, "here")


def test_a_name_that_is_taken_is_an_error_that_names_both(package) -> None:
    package("dim-light", {"a.py": DIM}, {"restore.degradations": {"rain": "dim_light.a:Dim", "dim": "dim_light.a:Dim"}})
    both = r"'rain' is added to restore.degradations by package restore itself and by package dim-light 1.0"
    with pytest.raises(ConfigError, match=both):
        parse(Degradation, {"kind": "rain"}, "here")
    with pytest.raises(ConfigError, match=both):
        named("rain")
    assert parse(Degradation, {"kind": "snow"}, "here").kind == "snow"
    package("dusk", {"a.py": DIM}, {"restore.degradations": {"dim": "dusk.a:Dim"}})
    with pytest.raises(ConfigError, match=r"by package (dusk|dim-light) 1\.0 .* and by package (dim-light|dusk) 1\.0"):
        parse(Degradation, {"kind": "dim"}, "here")


def test_the_schema_holds_the_kinds_of_packages(package) -> None:
    assert "Less light" not in json.dumps(TypeAdapter(Degradation).json_schema())
    package("dim-light", {"a.py": DIM}, {"restore.degradations": {"dim": "dim_light.a:Dim"}})
    for schema in (TypeAdapter(Degradation).json_schema(), Mixture.model_json_schema()):
        assert "Less light" in json.dumps(schema) and "Rain" in schema["$defs"]


def test_a_sampler_of_a_package_is_in_a_recipe(package) -> None:
    package("euler", {"__init__.py": EULER}, {"restore.samplers": {"euler": "euler:Euler"}})
    recipe = parse(Recipe, {"name": "x", "sampler": {"kind": "euler", "steps": 3}}, "here")
    assert recipe.sampler.kind == "euler" and recipe.sampler.steps == 3
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_a_degradation_of_a_package_has_a_name_and_is_drawn_in_training(package) -> None:
    points = {"dim": "dim_light.a:Dim", "smaller": "dim_light.a:Smaller"}
    package("dim-light", {"a.py": DIM}, {"restore.degradations": points})
    assert named("dim").by == 0.5
    clean = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    mixture = parse(Mixture, {"weights": {"dim": 1}, "camera": {"noise_chance": 0, "compression_chance": 0}}, "here")
    degraded, label = mixture.sample(clean, Random(range(4)), 1.0)
    assert torch.equal(degraded, clean * 0.5) and label.tolist() == [0] * 4
    assert list(mixture.parts()) == ["dim"]
    own = parse(Mixture, {"weights": {"rain": 1, "dim": 1}, "others": [{"kind": "dim", "by": 0.1}]}, "here")
    assert own.parts()["dim"].by == 0.1 and Mixture.model_validate_json(own.model_dump_json()) == own
    with pytest.raises(ArrayError, match=r"smaller made \(4, 3, 16, 15\) of \(4, 3, 16, 16\)"):
        parse(Mixture, {"weights": {"smaller": 1}}, "here").sample(clean, Random(range(4)))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"weights": {"hail": 1}}, r"unknown kinds \['hail'\] in weights; known are \['rain',"),
        ({"weights": {"rain": 1}, "others": [{"kind": "jpeg"}]}, r"\['jpeg'\], which weights does not name"),
        ({"weights": {"rain": 1}, "others": [{"kind": "rain"}]}, "none that has a field of its own"),
        ({"weights": {"noise": 1}, "others": [{"kind": "noise"}, {"kind": "noise"}]}, "each kind once"),
        ({"weights": {"rain": -1}}, "not be negative"),
        ({"weights": {"rain": 0}}, "one at least must be above 0"),
        ({"weights": 3}, "weights"),
        ({"weights": {"rain": 1}, "others": 3}, "others"),
    ],
)
def test_mixtures_that_make_no_sense_are_refused(document: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(Mixture, document, "here")


def test_other_degradations_change_nothing_where_they_do_not_occur() -> None:
    clean = torch.rand(8, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    usual = Mixture()
    more = Mixture(weights={**usual.weights, "noise": 0.0}, others=({"kind": "noise"},))
    for a, b in zip(usual.sample(clean, Random(range(8))), more.sample(clean, Random(range(8))), strict=True):
        assert torch.equal(a, b)
    noisy = Mixture(weights={"noise": 1.0}, others=({"kind": "noise", "sigma": (0.1, 0.1)},))
    assert 0.01 < (noisy.sample(clean, Random(range(8)), 1.0)[0] - clean).abs().mean() < 0.2


class Thing(Spec):
    name: str


def test_an_extended_mapping_is_one_mapping(package) -> None:
    source = (
        "from restore.errors import RestoreError\ngood = RestoreError('x')\nbad = 3\n1 / 0 if __name__ == 'x' else 0"
    )
    points = {"good": "things:good", "bad": "things:bad", "own": "things:good", "gone": "things:gone"}
    package("things", {"__init__.py": source}, {"restore.things": points, "restore.others": {"a": "things:good"}})
    from restore.errors import RestoreError

    mine = RestoreError("own")
    mapping = Extended("restore.things", {"own": mine, "other": mine}, RestoreError)
    assert "things" not in sys.modules and mapping["other"] is mine and "things" not in sys.modules
    assert str(mapping["good"]) == "x" and "good" in mapping and "absent" not in mapping
    assert "own" in mapping and "bad" in mapping, "looking whether a name is known imports and refuses nothing"
    with pytest.raises(KeyError):
        mapping["absent"]
    with pytest.raises(ConfigError, match="must be a RestoreError, not a int"):
        mapping["bad"]
    with pytest.raises(ConfigError, match="by package restore itself and by package things"):
        mapping["own"]
    mapping["more"] = mine
    assert mapping["more"] is mine
    del mapping["more"]
    with pytest.warns(ExtensionWarning) as told:
        assert list(mapping) == ["other", "good"] and len(mapping) == 2 and dict(mapping)["other"] is mine
    assert len(told) == 3
    package("named", {"__init__.py": "class T:\n    name = 'b'\nt = T()"}, {"restore.named": {"a": "named:t"}})
    with pytest.raises(ConfigError, match="calls itself 'b'"):
        Extended("restore.named", {}, object)["a"]


METRIC = """
from restore.evaluation.metrics import Metric

def made(name):
    return Metric(name=name, label=name, direction="lower", low=0, description="x", reference="", score=lambda pair: 0)

zero, psnr = made("zero"), made("psnr")
"""


def test_metrics_of_packages_are_looked_up_with_ours(package) -> None:
    from restore.evaluation.metrics import METRICS, get_metric

    points = {"zero": "nought:zero", "psnr": "nought:psnr", "gone": "nought:gone"}
    package("nought", {"__init__.py": METRIC}, {"restore.metrics": points})
    assert get_metric("zero").name == "zero" and get_metric("ssim").name == "ssim"
    with pytest.raises(ConfigError, match=r"'psnr' is added to restore\.metrics by package restore itself and by pack"):
        get_metric("psnr")
    with pytest.raises(ConfigError, match=r"'gone' of package nought 1\.0 .* cannot be loaded"):
        get_metric("gone")
    with pytest.raises(ConfigError, match=r"unknown metric 'zeor'; did you mean zero\? choose psnr, .*zero \(of nough"):
        get_metric("zeor")
    with pytest.warns(ExtensionWarning) as told:
        assert {"ssim", "zero"} <= set(METRICS) and not {"psnr", "gone"} & set(METRICS)
        assert all(metric.name for metric in METRICS.values())
    assert len(told) == 2


def test_help_imports_nothing_of_packages(package, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    source = f"open({str(canary)!r}, 'w').close()\n" + DIM
    groups = ("networks", "degradations", "samplers", "tasks", "metrics")
    package("dim-light", {"a.py": source}, {f"restore.{group}": {"dim": "dim_light.a:Dim"} for group in groups})
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from restore.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print('dim_light' in sys.modules, 'torch' in sys.modules)"
    )
    for command in (["--help"], ["run", "--help"], ["train", "--help"], ["evaluate", "--help"], ["--version"]):
        ran = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "site"), *command], capture_output=True, text=True, timeout=100
        )
        assert ran.returncode == 0 and ran.stdout.endswith("False False\n"), ran.stderr
    assert not canary.exists()
