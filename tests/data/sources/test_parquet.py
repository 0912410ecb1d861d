"""Parquet files and data sets of the Hub, from a local stand-in that speaks its protocol."""

import hashlib
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zerosum.data.open import open_dataset
from zerosum.data.records import NoTestPart
from zerosum.data.sources.find import open_source
from zerosum.data.sources.split_files import split_of
from zerosum.utils.errors import DataError

pyarrow = pytest.importorskip("pyarrow", reason="the extra hub is not installed")
parquet = pytest.importorskip("pyarrow.parquet")

SHA = "0123456789abcdef0123456789abcdef01234567"


def png(value, side=8):
    file = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), value, np.uint8)).save(file, "png")
    return file.getvalue()


def write(path, values, labels=None, names=(), features=True, **more):
    """A file as the `datasets` library writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"image": [{"bytes": png(value), "path": None} for value in values]}
    kinds = {"image": {"_type": "Image"}}
    if labels is not None:
        columns["label"] = labels
        kinds["label"] = {"_type": "ClassLabel", "names": list(names)}
    table = pyarrow.table(columns | more)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": kinds}})})
    parquet.write_table(table, path, row_group_size=2)


def test_images_classes_and_attributes_of_the_feature_types(tmp_path):
    write(tmp_path / "data/train-00000-of-00002.parquet", [10, 20, 30], [1, 0, None], ["cat", "dog"], age=[1, 2, 3])
    write(tmp_path / "data/train-00001-of-00002.parquet", [40], [1], ["cat", "dog"], age=[4])
    write(tmp_path / "data/test-00000-of-00001.parquet", [50], [0], ["cat", "dog"], age=[5])
    source = open_source(f"parquet:{tmp_path}/data/*.parquet")
    assert (source.count, source.classes) == (4, ("cat", "dog"))
    records = list(source.records())
    assert [record.label for record in records] == ["dog", "cat", None, "dog"]
    assert [record.attributes["age"] for record in records] == [1, 2, 3, 4]
    assert records[3].name == "train-00001-of-00002.parquet/0"
    with Image.open(records[1].open()) as image:
        assert image.getpixel((0, 0)) == (20, 20, 20)
    assert "Its files of test are left out." in source.notes
    test = open_source(f"parquet:{tmp_path}", part="test")
    assert [record.label for record in test.records()] == ["cat"]
    packed = open_dataset(f"parquet:{tmp_path}", (8, 8))
    assert sorted(packed.images[:, 0, 0, 0].tolist()) == [10, 20, 40]  # the third has no label


def test_plain_columns_are_recognised_by_type_and_name(tmp_path):
    table = pyarrow.table({"photo": [png(1), png(2)], "class": ["b", "a"], "blob": [[1], [2]]})
    parquet.write_table(table, tmp_path / "mine.parquet")
    for data in (tmp_path / "mine.parquet", f"parquet:{tmp_path / 'mine.parquet'}"):
        source = open_source(data)
        assert source.classes == ("a", "b")
        assert [record.label for record in source.records()] == ["b", "a"]


def test_what_cannot_be_used_is_named(tmp_path):
    parquet.write_table(pyarrow.table({"text": ["a"], "size": [1]}), tmp_path / "words.parquet")
    with pytest.raises(DataError, match=r"words.parquet has no column of image files .* it has text \(string\), size"):
        open_source(tmp_path / "words.parquet")
    write(tmp_path / "whole.parquet", range(9))
    content = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "torn.parquet").write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"torn.parquet cannot be read as a Parquet file"):
        open_source(tmp_path / "torn.parquet")
    with pytest.raises(DataError, match=r"There are no Parquet files at parquet:"):
        open_source(f"parquet:{tmp_path}/*.parq")
    with pytest.raises(NoTestPart):
        open_source(tmp_path / "whole.parquet", part="test")
    write(tmp_path / "mixed/a.parquet", [1])
    write(tmp_path / "mixed/b.parquet", [1], [0], ["x"])
    with pytest.raises(DataError, match=r"b.parquet has other columns than .*a.parquet"):
        open_source(f"parquet:{tmp_path}/mixed")


def test_a_row_without_an_image_is_left_out(tmp_path):
    rows = [{"bytes": png(1), "path": "1.png"}, {"bytes": None, "path": "2.png"}]
    parquet.write_table(pyarrow.table({"image": rows}), tmp_path / "some.parquet")
    dataset = open_dataset(tmp_path / "some.parquet", (8, 8))
    assert len(dataset) == 1


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00001.parquet", "train"),
        ("default/test/0000.parquet", "test"),
        ("default/validation/0000.parquet", "validation"),
        ("photos.parquet", None),
    ],
)
def test_the_part_of_a_file(name, split):
    assert split_of(Path(name)) == split


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A server with one data set, whose files lie on the branch for converted ones."""
    files = {"default/train/0000.parquet": tmp_path / "files/0000.parquet"}
    write(files["default/train/0000.parquet"], [10, 20], [0, 1], ["no", "yes"])
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            asked.append(self.path)
            path, _, _ = self.path.partition("?")
            listed = files if "convert" in path or SHA in path else {}
            sha = SHA if listed else "f" * 40
            if path.startswith("/api/datasets/me/photos/revision/"):
                about = {"id": "me/photos", "sha": sha, "siblings": [{"rfilename": name} for name in listed]}
                self.answer(json.dumps(about).encode(), "application/json")
            elif path.startswith("/api/datasets/me/photos/tree/"):
                about = [
                    {"type": "file", "path": name, "size": file.stat().st_size, "oid": "0" * 40}
                    for name, file in listed.items()
                ]
                self.answer(json.dumps(about).encode(), "application/json")
            elif path.startswith("/datasets/me/photos/resolve/"):
                name = path.split("/resolve/")[1].partition("/")[2]
                self.answer(files[name].read_bytes(), "application/octet-stream")
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def answer(self, content, kind):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", SHA)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    yield asked
    server.shutdown()
    server.server_close()


def test_a_data_set_of_the_hub(hub):
    pytest.importorskip("huggingface_hub")
    source = open_source("hf:me/photos")
    assert (source.count, source.classes) == (2, ("no", "yes"))
    assert any("convert" in path for path in hub)
    with pytest.raises(DataError, match="The Hub has no data set me/other"):
        open_source("hf:me/other")
    with pytest.raises(DataError, match=r"hf:a/b/c is not the name of a data set"):
        open_source("hf:a/b/c")


def test_the_hub_without_a_network(monkeypatch, tmp_path):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"hf:mnist could not be downloaded .* pass parquet:FOLDER"):
        open_source("hf:mnist")
