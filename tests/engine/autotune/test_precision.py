"""What a run trains in follows the machine, is remembered, told, and kept when the run goes on; sampling in bf16."""

import json
import shutil
from functools import partial
from itertools import count

import numpy as np
import pytest
import torch
import yaml

import zerosum
from zerosum.data.dataset import DatasetInfo
from zerosum.data.open import open_dataset
from zerosum.engine.autotune import precision as choice
from zerosum.engine.autotune.conv_gemm import Faster, name_in
from zerosum.engine.autotune.precision import choose_speed
from zerosum.engine.autotune.timing import Timings
from zerosum.models import precision
from zerosum.models.precision import with_precision
from zerosum.recipes.registry import get_recipe, list_recipes
from zerosum.runs.folder import read_lines
from zerosum.training import doctor, plan
from zerosum.training import train as training
from zerosum.training.batches import batch_source
from zerosum.utils.errors import ConfigError

WAYS = [("fp32", "contiguous"), ("fp32", "channels_last"), ("bf16", "contiguous"), ("bf16", "channels_last")]
# A server with bf16 in its convolutions that pays, one whose bf16 does not, and one that likes contiguous weights.
SECONDS = ((1, 0.8, 0.5, 0.4), (1, 0.9, 2, 1.8), (1, 1.3, 2, 2))
HALF, WHOLE, PLAIN = (dict(zip(WAYS, row, strict=True)) for row in SECONDS)
QUIET = (1.0, 1.05, 1.01, 1.02, 1.1)  # what the rounds of a quiet machine take, relative to the fastest
NOISY = (1.0, 1.9, 1.5, 2.6, 1.4)
SMALL = {"batch": 8, "size": "16", "generator": {"width": 8}, "discriminator": {"width": 8}}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A function that makes this machine one of the above, with an empty cache, on which products are faster always or
    never, whose rounds vary so, and on which other programs use so many of its two cores; returns how often it was
    timed."""
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(choice, "LEAST", 0)
    monkeypatch.setattr(choice, "cores", lambda: 2)
    timed = []

    def be(measured, by_product=False, rounds=QUIET, others=0.0):
        def faster(ops, precision):
            named = {name_in(op, convolution): convolution.images[0] for op, convolution in ops}
            return Faster({name: count for name, count in named.items() if name and by_product})

        def timings(chosen, device, dtypes):
            timed.append(chosen)
            ways = {way: seconds for way, seconds in measured.items() if way[0] in dtypes}
            return Timings({way: [seconds * factor for factor in rounds] for way, seconds in ways.items()})

        monkeypatch.setattr(choice.Meter, "others", lambda self: others)
        monkeypatch.setattr(choice.time, "perf_counter", lambda: next(moments))
        moments = count(0.0, 10.0)
        monkeypatch.setattr(choice, "timings", timings)
        monkeypatch.setattr(choice.conv_gemm, "faster_by_gemm", faster)
        return timed

    return be


def choose(asked="auto", shown=True, gains_by_gemm=True, **more):
    recipe = get_recipe("dcgan")
    info = DatasetInfo("test", 8, (16, 16, 3), "uint8", (0, 255), False, (), "")
    batch = {"image": torch.zeros(8, 3, 16, 16), "images_seen": 0, "step": 0}
    settings = recipe.configure(SMALL)
    build = partial(recipe.build, settings, info)
    more |= {"gains_by_gemm": gains_by_gemm}
    return choose_speed(asked, shown, build, lambda count: batch, torch.device("cpu"), **more)


def same_weights(one, other):
    """Whether the networks of two runs are the same, to the bit."""
    first, second = (zerosum.load(run).network.state_dict() for run in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("measured", "asked", "shown", "expected", "words"),
    [
        (HALF, "auto", True, ("bf16", "channels_last"), "take 400 ms in it here, 800 ms in fp32"),
        (HALF, "auto", False, ("fp32", "channels_last"), "has not been shown to learn as well in bf16"),
        (WHOLE, "auto", True, ("fp32", "channels_last"), "take 900 ms in it here, 1800 ms in bf16"),
        (PLAIN, "auto", True, ("fp32", "contiguous"), "fp32, contiguous"),
        ({}, "auto", True, ("fp32", "channels_last"), "not timed"),
        ({way: HALF[way] for way in WAYS[:2]}, "auto", True, ("fp32", "channels_last"), "take 800 ms in it here."),
    ],
)
def test_the_choice_follows_the_machine_and_what_was_asked(machine, measured, asked, shown, expected, words):
    machine(measured)
    found = choose(asked, shown)
    assert (found.precision, found.layout) == expected
    assert words in found.why
    timed = {"fp32", "bf16"} if shown else {"fp32"}
    assert found.milliseconds == {" ".join(way): 1000 * measured[way] for way in measured if way[0] in timed}
    assert found.gflop > 0
    assert found.kept


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_a_precision_by_name_depends_on_no_timing(machine, monkeypatch, asked):
    for measured in (HALF, WHOLE, PLAIN):
        assert machine(measured, by_product=True) == []
        found = choose(asked)
        assert (found.precision, found.layout, found.conv_gemm, found.milliseconds) == (asked, "channels_last", {}, {})
        assert "as requested" in found.why
    ops = choose(asked, products="auto").conv_gemm  # unless that is asked for
    assert ops
    assert choose(asked, products="off").conv_gemm == choose("auto", products="off").conv_gemm == {}
    with pytest.raises(ConfigError, match="products is 'some'; expected auto or off"):
        choose(asked, products="some")


@pytest.mark.parametrize("asked", ["auto", "fp32", "bf16"])
def test_of_recipes_that_do_not_gain_by_products_none_is_timed(machine, monkeypatch, asked):
    machine(HALF, by_product=True)
    assert choose(asked, products="auto").conv_gemm
    monkeypatch.setattr(choice.conv_gemm, "faster_by_gemm", lambda *_: pytest.fail("timed"))
    for products in (None, "auto", "off"):
        assert choose(asked, gains_by_gemm=False, products=products, anew=True).conv_gemm == {}


def test_only_pix2pix_gains_by_products():
    assert [recipe.name for recipe in list_recipes() if recipe.conv_gemm] == ["pix2pix"]


def test_a_torch_that_hands_out_no_kernels_trains_without_products(machine, tmp_path, monkeypatch):
    """Also a run that was begun with products, or by an older version with operations that there are no longer."""
    machine(HALF, by_product=True)
    monkeypatch.delattr(torch.library, "get_kernel")
    monkeypatch.setattr(choice.conv_gemm, "faster_by_gemm", lambda *_: pytest.fail("timed"))
    assert choose().conv_gemm == choose("fp32", products="auto").conv_gemm == {}
    whole, other = tmp_path / "whole", tmp_path / "other"
    zerosum.train("pix2pix", "builtin:portraits:64", out=whole, steps=1, precision="fp32", products="auto", **SMALL)
    config = yaml.safe_load((whole / "config.yaml").read_text())
    assert config["products"] == {}
    shutil.copytree(whole, other)
    shapes = "16x8x4x4 over 8x8, stride 2x2, padding 1x1"
    names = (f"weight {shapes}", f"double-backward {shapes}")
    (other / "config.yaml").write_text(yaml.safe_dump(config | {"products": dict.fromkeys(names, 8)}))
    one, two = (zerosum.resume(run, steps=2).path for run in (whole, other))
    assert same_weights(one, two)


@pytest.mark.parametrize("disturbance", [{"rounds": NOISY}, {"others": 1.9}])
def test_what_was_disturbed_is_not_kept(machine, tmp_path, disturbance):
    machine(HALF, by_product=True, **disturbance)
    found = choose()
    assert not found.kept
    assert "and is not cached" in found.why
    assert [file for file in (tmp_path / "cache").rglob("*.json") if "seconds" in file.read_text()] == []
    timed = machine(WHOLE)
    before = len(timed)
    found = choose()
    assert found.kept
    assert (found.precision, len(timed)) == ("fp32", before + 1)
    machine(HALF, **disturbance)
    assert choose() == found


def test_products_are_not_chosen_beside_other_programs(machine):
    before = torch.get_num_threads()
    machine(HALF, by_product=True, others=1.0)
    try:
        torch.set_num_threads(2)  # more than the cores that are left
        assert choose().conv_gemm == {}
        torch.set_num_threads(1)
        assert choose().conv_gemm
    finally:
        torch.set_num_threads(before)


def test_timings_that_are_as_good_as_alike_in_one_round_choose_nothing(machine):
    """bf16 is 1.25 times as fast by the fastest round, in one round only."""
    machine({way: seconds for way, seconds in WHOLE.items() if way[0] == "fp32"})
    once = {way: [1.0] * 5 for way in WAYS[:2]} | {way: [0.8, 1.0, 1.0, 1.0, 1.0] for way in WAYS[2:]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "timings", lambda *args: Timings(once))
        assert choose().precision == "fp32"


def test_what_was_measured_is_remembered_until_it_is_asked_anew_or_damaged(machine, tmp_path):
    timed = machine(HALF)
    first = choose()
    machine(WHOLE)  # as if other programs had disturbed the measurement
    assert choose() == first
    assert len(timed) == 1
    assert choose(anew=True).precision == "fp32"
    (file,) = (file for file in (tmp_path / "cache" / "speed").iterdir() if "seconds" in file.read_text())
    for damage in (
        '{"seconds": {"fp32 contig',
        '{"seconds": {"fp32 contiguous": [1.0], "bf16 contiguous": [1.0, 2.0]}}',
    ):
        file.write_text(damage)
        machine(HALF)
        assert choose().precision == "bf16"


def test_what_is_faster_as_a_product_is_told_and_remembered_too(machine):
    machine(HALF, by_product=True)
    first = choose()
    assert "weight 16x8x4x4 over 8x8, stride 2x2, padding 1x1" in first.conv_gemm
    assert f"{len(first.conv_gemm)} of their passes by matrix products" in first.why
    machine(HALF)
    assert choose() == first
    assert choose(anew=True).conv_gemm == {}
    machine(PLAIN, by_product=True)
    assert choose(shown=False, anew=True).conv_gemm == {}  # contiguous weights: windows would have to be gathered


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(machine, tmp_path):
    timed = machine(HALF)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "speed").write_text("a file where the folder would be")
    assert [choose().precision, choose().precision] == ["bf16", "bf16"]
    assert len(timed) == 2


def test_small_work_is_not_timed(monkeypatch):
    monkeypatch.setattr(choice, "timings", lambda *_: pytest.fail("timed"))
    found = choose()
    assert (found.precision, found.layout, found.milliseconds) == ("fp32", "channels_last", {})


def test_another_word_is_refused_before_the_data_is_packed(monkeypatch):
    monkeypatch.setattr(plan, "open_dataset", lambda *_, **more: pytest.fail("packed"))
    with pytest.raises(ConfigError, match="fp8"):
        zerosum.train("dcgan", "builtin:portraits:64", precision="fp8")
    with pytest.raises(ConfigError, match="fp8"):
        choose("fp8")


@pytest.mark.parametrize(
    ("recipe", "measured", "by_product", "precision", "layout"),
    [
        ("dcgan", HALF, False, "bf16", "channels_last"),
        ("pix2pix", HALF, True, "bf16", "channels_last"),
        ("dcgan", PLAIN, False, "fp32", "contiguous"),
    ],
)
def test_a_run_keeps_its_choice_when_it_goes_on_elsewhere(
    machine, tmp_path, recipe, measured, by_product, precision, layout
):
    machine(measured, by_product)
    for name, images in (("whole", 48), ("parts", 24)):
        fixed = {"decay": 0} if recipe == "pix2pix" else {"decay.images": 1000}  # else it follows the goal, which moves
        zerosum.train(recipe, "builtin:portraits:64", out=tmp_path / name, images=images, **fixed, **SMALL)
    machine(WHOLE)  # another computer
    zerosum.resume(tmp_path / "parts", images=48)
    for name in ("whole", "parts"):
        config = yaml.safe_load((tmp_path / name / "config.yaml").read_text())
        assert (config["precision"], config["layout"]) == (precision, layout)
        assert bool(config["products"]) == by_product
        env = json.loads((tmp_path / name / "env.json").read_text())
        assert env["speed"]["milliseconds"]["fp32 contiguous"] == 1000 * measured["fp32", "contiguous"]
        assert [e["text"] for e in read_lines(tmp_path / name / "events.jsonl") if e["text"].startswith("Trains in")]
    assert same_weights(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_images_come_in_the_layout_of_the_weights(layout):
    recipe = get_recipe("dcgan")
    settings = recipe.configure(SMALL)
    data = open_dataset("builtin:portraits:64", (16, 16))
    system = training.build_system(recipe, settings, data.info, 0, torch.device("cpu"), layout)
    draw = batch_source(data, np.arange(64), settings, 0, torch.device("cpu"), layout)
    expected = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    images = draw(system.players[0], 0, 8)["image"]
    weights = [p for p in system.network.parameters() if p.dim() == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert all(tensor.is_contiguous(memory_format=expected) for tensor in (images, *weights))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    run = tmp_path_factory.mktemp("speed") / "run"
    return zerosum.train("dcgan", "builtin:portraits:64", out=run, images=64, **SMALL).model()


def test_pictures_in_bf16_differ_by_a_few_levels(model):
    exact, half = model.sample(16).astype(int), model.in_bf16().sample(16).astype(int)
    assert 0 < np.abs(exact - half).max() <= 8
    assert np.abs(exact - half).mean() < 1
    assert model.network is not model.in_bf16().network
    assert np.array_equal(model.sample(16), exact)  # the model itself stays as it was


def test_bf16_is_taken_for_pictures_where_it_makes_them_faster(model, monkeypatch):
    def taking(seconds):
        return lambda one: seconds[next(one.network.parameters()).dtype]

    for half, expected in ((0.4, torch.bfloat16), (0.95, torch.float32), (2.0, torch.float32)):
        monkeypatch.setattr(precision, "_time_batch", taking({torch.float32: 1.0, torch.bfloat16: half}))
        assert next(with_precision(model, "auto", 5000).network.parameters()).dtype == expected
    assert with_precision(model, "fp32", 5000) is model
    monkeypatch.setattr(precision, "_time_batch", lambda one: pytest.fail("timed"))
    assert with_precision(model, "auto", 64) is model  # too few to find out
    with pytest.raises(ConfigError, match="fp8"):
        with_precision(model, "fp8", 1)


def test_the_doctor_says_what_training_would_choose(machine, monkeypatch):
    machine(HALF)
    monkeypatch.setattr(doctor, "step_rate", lambda system, batch, chosen, device: 99.0)
    found = doctor.speed(torch.device("cpu"))
    assert "Trains in bf16, channels_last" in found["choice for dcgan"]
    rates = dict(part.rsplit(" ", 1) for part in found["convolutions of dcgan, GFLOP/s"].split(", "))
    assert float(rates["bf16 channels_last"]) == pytest.approx(2.5 * float(rates["fp32 contiguous"]), abs=2)
