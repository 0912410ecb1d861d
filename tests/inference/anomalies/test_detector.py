"""Detectors on generators that were never trained: their own samples are the normal images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from tests.data.made_sets import packed
from tests.inference.explore.models import HAIR, info_of, model_of
from zerosum.data.dataset import Dataset
from zerosum.data.tensors import to_float
from zerosum.inference.anomalies import inversion
from zerosum.inference.anomalies.calibration import Calibration, Strength, rearranged
from zerosum.inference.anomalies.detector import Measures, new_detector, smoothed, squared_errors, tensors
from zerosum.inference.anomalies.found import tiles, write_map
from zerosum.inference.anomalies.inversion import EncoderSettings, by_encoder, by_projection, trained_encoder
from zerosum.inference.anomalies.pictures import Rows
from zerosum.inference.explore import projection
from zerosum.inference.explore.projection import features_for
from zerosum.metrics.conformal import auroc, false_alarm_interval

QUICK = EncoderSettings(images=3200, batch=32, width=8, lr=3e-3)


def rows_of(images, source="made"):
    return Rows(packed(images), np.arange(len(images)), source)


@pytest.fixture(scope="module")
def model():
    return model_of("dcgan", generator={"width": 4, "latent_dim": 4})


@pytest.fixture(scope="module")
def extract(model):
    return features_for("random", model.info)


@pytest.fixture(scope="module")
def samples(model):
    return model.sample(900)


@pytest.fixture(scope="module")
def encoder(model, extract, samples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    return trained_encoder(model, rows_of(samples[:400]), extract, "random", QUICK, (folder,))[0]


@pytest.fixture(scope="module")
def detector(model, extract, samples, encoder):
    training = rows_of(samples[:400])
    invert = by_encoder(model, encoder, 0, extract)
    return new_detector(model, invert, extract, rows_of(samples[400:440]), training, 0)


def test_an_encoder_learns_to_invert_the_generator(detector, samples):
    measures = detector.measure_all(rows_of(samples[700:]), "")
    assert measures.residual.sum() < 0.3 * measures.from_mean.sum()


def test_training_an_encoder_depends_on_the_seed_alone(model, extract, samples, tmp_path):
    few = replace(QUICK, images=64)
    trained = [
        trained_encoder(model, rows_of(samples[:40]), extract, "random", settings, (tmp_path / str(i),))[0]
        for i, settings in enumerate((few, few, replace(few, seed=1)))
    ]
    first, again, other = (torch.cat([value.flatten() for value in one.parameters()]) for one in trained)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_encoder_is_trained_once(model, extract, samples, tmp_path):
    few, training, steps = replace(QUICK, images=64), rows_of(samples[:40]), []

    def encoder(settings=few, rows=training, features="random", **more):
        steps.clear()
        return trained_encoder(
            model,
            rows,
            extract,
            features,
            settings,
            (tmp_path / "none/of these", tmp_path),
            lambda *f: steps.append(f),
            **more,
        )

    _, file = encoder()
    assert steps[-1] == ("training the encoder, images", 64, 64)
    kept = file.read_bytes()
    again, same = encoder()
    assert (steps, same, again.training) == ([], file, False)
    file.write_bytes(kept[:-8])  # damaged
    assert encoder()[1] == file
    assert (len(steps), file.read_bytes()) == (2, kept)
    for other in (
        {"settings": replace(few, seed=1)},
        {"rows": rows_of(samples[1:41])},
        {"features": "others"},
    ):
        assert encoder(**other)[1] != file
    assert len(list(tmp_path.iterdir())) == 4


def test_scores_do_not_depend_on_the_batch(detector, model, samples):
    images = to_float(samples[500:507], model.info)
    together, made, errors, heat = detector.measure(images, detector.invert(images))
    for i in range(7):
        alone, own, _, own_heat = detector.measure(images[[i]], detector.invert(images[[i]]))
        assert detector.score(alone)[0] == pytest.approx(detector.score(together)[i], rel=1e-4)
        assert alone.neighbour[0] == pytest.approx(together.neighbour[i], rel=1e-3)
        assert_close((own[0], own_heat[0]), (made[i], heat[i]), rtol=1e-3, atol=1e-4)
    assert_close(errors, squared_errors(images, made, model.info))


def test_false_alarms_on_unseen_normal_images_are_as_many_as_asked_for(detector, samples):
    calibration = Calibration.of(detector, rows_of(samples[440:640]), 0.1)
    found = calibration.findings(detector.measure_all(rows_of(samples[640:]), ""), *[[""] * 260] * 3)
    low, high = false_alarm_interval(200, 0.1, 0.999)
    spread = 3.3 * (0.1 * 0.9 / 260) ** 0.5
    for alarms in ([one.flagged for one in found], [one.neighbour_p <= 0.1 for one in found]):
        assert low - spread <= np.mean(alarms) <= high + spread
    assert all(one.flagged == (one.p <= 20 / 201) for one in found)
    assert calibration.strength.explained > 0.7
    assert calibration.strength.auroc > 0.9


def test_a_painted_spot_is_more_anomalous_than_none(detector, samples):
    spotted = samples[640:].copy()
    spotted[:, 5:9, 5:9] = [255, 0, 255]
    normal, abnormal = (detector.measure_all(rows_of(images), "") for images in (samples[440:640], spotted))
    assert auroc(detector.score(normal), detector.score(abnormal)) > 0.9
    assert auroc(normal.peak, abnormal.peak) > 0.9
    images = to_float(spotted[:20], detector.model.info)
    *_, heat = detector.measure(images, detector.invert(images))
    y, x = np.divmod(heat.flatten(1).argmax(dim=1).numpy(), 16)
    assert np.mean((y >= 4) & (y <= 9) & (x >= 4) & (x <= 9)) > 0.9


def test_neighbours_are_the_nearest_training_images(detector, extract, samples):
    training, others = (extract(to_float(samples[rows], detector.model.info)) for rows in (slice(400), slice(700, 710)))
    expected = torch.stack([(training - other).norm(dim=1).min() for other in others])
    found = detector.measure_all(rows_of(samples[700:710]), "").neighbour
    assert_close(torch.from_numpy(found).float(), expected, rtol=1e-3, atol=1e-4)
    assert (detector.measure_all(rows_of(samples[:10]), "").neighbour < 0.01 * found.min()).all()


def test_the_score_is_one_for_the_pixels_and_the_weight_for_the_features_of_what_is_usual(detector, samples):
    usual = detector.usual
    one = Measures(np.ones(1), np.array([usual.features]), np.array([usual.peak]), *np.zeros((2, 1)))
    assert replace(detector, feature_weight=0.5).score(one) == pytest.approx(1.5)
    assert detector.score(replace(one, features=3 * one.features, residual=np.zeros(1))) == pytest.approx(4)
    reference = detector.measure_all(rows_of(samples[400:440]), "")
    assert detector.score(reference).mean() == pytest.approx(2, rel=1e-3)


def test_gradient_steps_bring_the_reconstruction_nearer(detector, model, extract, encoder, samples):
    images = to_float(samples[700:706], model.info)
    before = detector.measure(images, detector.invert(images))[0].residual
    refined = by_encoder(model, encoder, 20, extract)(images)
    assert (detector.measure(images, refined)[0].residual < before).all()


def test_projection_finds_each_image_of_a_batch(detector, model, extract, samples, monkeypatch):
    monkeypatch.setattr(projection, "CANDIDATES", 256)
    invert, images = by_projection(model, 40, extract, 0), to_float(samples[700:704], model.info)
    found = invert(images)[0]
    measures = detector.measure(images, (found, None))[0]
    assert (measures.residual < 0.25 * measures.from_mean).all()
    assert_close(invert(images[[2]])[0], found[[2]], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", ["dcgan", "pokegan"])
def test_latents_and_conditions_of_an_encoder_are_in_the_range_of_training(name):
    told = {"conditional": True} if name == "dcgan" else {}
    model = model_of(name, info_of(conditions=(HAIR,) if told else ()), **told)
    outputs = 100 * torch.randn(8, model.latents([0]).shape[1] + (3 if told else 0))
    latents, condition = inversion._split(model, outputs)
    assert latents.norm(dim=1).max() <= latents.shape[1] ** 0.5 + 2.2
    assert model.latent_bound is None or latents.abs().max() <= model.latent_bound
    if told:
        assert_close(condition.sum(dim=1), torch.ones(8))
        assert condition.min() >= 0
    assert inversion.reconstruct(model, (latents, condition)).shape == (8, 3, 16, 16)


@pytest.mark.parametrize(("shape", "dtype", "alpha"), [((16, 16, 5), "uint16", False), ((16, 16, 4), "uint8", True)])
def test_any_channels_and_depth(shape, dtype, alpha, tmp_path):
    model = model_of("dcgan", info_of(shape, dtype, alpha))
    images = model.sample(24)
    data = Dataset(tmp_path, replace(model.info, count=24), images, None, {})
    rows, extract = Rows(data, np.arange(24), ""), features_for("random", model.info)
    few = replace(QUICK, images=64)
    encoder = trained_encoder(model, rows, extract, "random", few, (tmp_path,))[0]
    detector = new_detector(model, by_encoder(model, encoder, 0, extract), extract, rows, rows, 0)
    batch = next(tensors(rows, model))
    measures, made, _, heat = detector.measure(batch, detector.invert(batch))
    assert np.isfinite(detector.score(measures)).all()
    row = tiles(batch, made, heat, 1.0, model.info)[0]
    assert row.shape == (3, 16, 16, 3)
    write_map(row, tmp_path / "maps/one.png")


def test_colours_under_transparent_pixels_do_not_count():
    info = info_of((16, 16, 4), alpha=True)
    images = torch.zeros(1, 4, 16, 16)
    images[:, 3] = -1
    others = images.clone()
    others[:, :3] = torch.rand(1, 3, 16, 16)
    assert_close(squared_errors(images, others, info), torch.zeros(1, 16, 16))
    assert squared_errors(images, others, replace(info, alpha=False)).mean() > 0.1


def test_maps_are_smoothed_over_a_sixteenth_of_the_side():
    maps = torch.zeros(1, 48, 64)
    maps[0, 10, 20] = 9
    expected = torch.zeros(1, 48, 64)
    expected[0, 9:12, 19:22] = 1
    assert_close(smoothed(maps), expected)
    assert_close(smoothed(torch.full((1, 160, 180), 7.0)), torch.full((1, 160, 180), 7.0))
    assert_close(smoothed(maps.repeat(1, 4, 4))[0, 10, 20], torch.tensor(9 / 13**2))


def test_a_generator_that_is_too_weak_is_told():
    assert not Strength(0.8, 0.95, 0.5).problem
    assert "explain 0% of what" in Strength(-3, 0.95, 0.5).problem
    assert "AUROC 0.70" in Strength(0.8, 0.7, 0.5).problem
    assert Strength(0.8, 0.7, 0.5).facts()["too_weak"]


def test_quarters_are_exchanged():
    images = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert rearranged(images)[0, 0].tolist() == [[10, 11, 8, 9], [14, 15, 12, 13], [2, 3, 0, 1], [6, 7, 4, 5]]
