"""The library as somebody meets it in a notebook or a script: what shows itself, and how."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

import zerosum
from tests.inference.explore.models import HAIR, info_of, model_of
from zerosum.data.dataset import DatasetInfo
from zerosum.training import live
from zerosum.training.live import Notebook, in_notebook
from zerosum.utils.errors import ConfigError

QUICK = {"batch": 16, "size": "8", "every": {"log": 32}}


def test_a_model_is_one_line_and_in_a_notebook_its_samples():
    model = model_of("dcgan", info_of(alpha=True, shape=(16, 16, 4)))
    assert repr(model) == "<Model: dcgan on test, 16x16x4 uint8, 100,000,000 images seen>"
    shown = model._repr_html_()
    assert "&lt;Model: dcgan" in shown
    picture = Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", shown)[1])))
    assert (picture.width, picture.height) == (8 * (48 + 2) + 2, 2 * (48 + 2) + 2)
    points = model_of("gan", DatasetInfo("ring", 8, (2,), "float32", None, False, (), ""))
    assert "<img" not in points._repr_html_()


def test_generate_takes_what_numbers_come_in():
    model = model_of("dcgan")
    latents = model.latents([0, 1])
    expected = model.sample(2)
    for given in (latents, latents.numpy(), latents.numpy().astype(np.float64), latents.tolist()):
        assert np.array_equal(model.generate(given), expected)
    with pytest.raises(
        ConfigError, match=r"Latents must have shape \(N, 12\), not the number 16; use sample\(n\) for n images"
    ):
        model.generate(16)
    with pytest.raises(ConfigError, match="Latents must be numbers"):
        model.generate("cat")
    told = model_of("dcgan", info_of(conditions=(HAIR,)), conditional=True)
    with pytest.raises(ConfigError, match=r"they are none; model.condition\(seeds, asked\) returns some"):
        told.generate(told.latents([0]))


def test_a_script_sees_progress_on_stderr_and_can_do_without(pictures_file, tmp_path, capsys):
    zerosum.train("gan", pictures_file, out=tmp_path / "a", images=32, **QUICK)
    seen = capsys.readouterr()
    assert not seen.out
    assert re.search(r"gan on .*squares\.npy, 32 images", seen.err)
    assert "32 images" in seen.err.splitlines()[-1]
    zerosum.train("gan", pictures_file, out=tmp_path / "b", images=32, listeners=[], **QUICK)
    zerosum.resume(tmp_path / "a", images=64, listeners=[])
    assert capsys.readouterr().err == ""
    zerosum.resume(tmp_path / "a", images=96)
    assert "resuming" in capsys.readouterr().err


def test_a_notebook_has_one_output_that_follows(monkeypatch):
    shown, now = [], [0.0]
    notebook = Notebook(shown.append, lambda: now[0])
    notebook.start("dcgan on <photos>", "200 images")
    for step in range(10):
        now[0] += 0.1
        notebook.scalars(10 * step, step, {"score/real": 0.75}, step / 20, 60.0)
    notebook.event("warning", "Dark images.")
    notebook.event("checkpoint", "Saved.")
    notebook.close()
    assert len(shown) == 5  # the start, one of the lines, two events, the end
    assert "dcgan on &lt;photos&gt;" in shown[-1]
    assert 'value="0.4500"' in shown[-1]
    assert "90 images · 45% · D(x) 0.750" in shown[-1]
    assert "warning: Dark images." in shown[-1]
    assert not in_notebook()
    monkeypatch.setitem(live.sys.modules, "IPython", type("IPython", (), {"get_ipython": staticmethod(Shell)}))
    assert in_notebook()


class Shell:
    pass


Shell.__name__ = "ZMQInteractiveShell"
