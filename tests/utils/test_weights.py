"""Files of weights from anywhere: read when they are that, refused in a sentence when not, and never run."""

import copy
import hashlib
import os
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.weights import downloaded, fingerprint, misfit, read_weights, tensors_hash

torch.set_num_threads(1)


def state() -> dict[str, Tensor]:
    stream = torch.Generator().manual_seed(0)
    return {
        "0.weight": torch.randn(4, 3, generator=stream),
        "0.bias": torch.randn(4, generator=stream).half(),
        "1.num_batches_tracked": torch.tensor(7),
    }


def same(found: dict[str, Tensor]) -> bool:
    expected = state()
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) and found[name].dtype == expected[name].dtype for name in expected
    )


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth", "W.PTH"])
def test_every_kind_of_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    save_file(state(), path) if name.endswith("safetensors") else torch.save(state(), path)
    assert same(read_weights(path))
    assert same(read_weights(str(path)))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: {"epoch": 3, "state_dict": tensors, "best": 0.5},
        lambda tensors: {"model": tensors, "optimizer": {"state": {}, "param_groups": []}},
        lambda tensors: {"module." + name: tensor for name, tensor in tensors.items()},
        lambda tensors: {"model_state_dict": {"module." + name: tensor for name, tensor in tensors.items()}},
        lambda tensors: {**tensors, "version": "1.0"},
        lambda tensors: {name: nn.Parameter(tensor, tensor.is_floating_point()) for name, tensor in tensors.items()},
    ],
)
def test_what_training_scripts_put_around_the_weights(wrap, tmp_path: Path) -> None:
    torch.save(wrap(state()), tmp_path / "checkpoint.pt")
    found = read_weights(tmp_path / "checkpoint.pt")
    assert same(found)
    assert not any(tensor.requires_grad for tensor in found.values())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: {"netG": tensors, "netD": {"x": torch.zeros(2)}, "optimG": {"state": {}, "param_groups": []}},
        lambda tensors: {"epoch": 1, "weights of mine": tensors},
        lambda tensors: {"state_dict": {"netG": tensors, "netD": {"x": torch.zeros(2)}}},
        lambda tensors: {"state_dict": {f"netG.module.{name}": tensor for name, tensor in tensors.items()}
                         | {"netD.x": torch.zeros(2)}},
        lambda tensors: {f"_orig_mod.module.{name}": tensor for name, tensor in tensors.items()},
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["epoch_9.pth.tar", "last.ckpt"])
def test_the_generator_is_found_among_other_networks(wrap, name, tmp_path: Path) -> None:
    torch.save(wrap(state()), tmp_path / name)
    assert same(read_weights(tmp_path / name))


def test_of_several_networks_those_that_there_are_are_named(tmp_path: Path) -> None:
    torch.save({"netG_A": state(), "netG_B": state(), "epoch": 3}, tmp_path / "both.pth")
    message = refused_with(tmp_path / "both.pth")
    assert "contains 2 networks, netG_A, netG_B" in message
    assert "torch.load('both.pth')['netG_A']" in message
    torch.save({"epoch": 3, "best": 0.5}, tmp_path / "none.pth")
    assert "It contains epoch, best." in refused_with(tmp_path / "none.pth")


def refused_with(path: Path) -> str:
    with pytest.raises(DataError) as found:
        read_weights(path)
    return str(found.value)


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("kind", ["spectral", "weight"])
@pytest.mark.parametrize("layer", [nn.Conv2d(3, 5, 3), nn.Linear(4, 6), nn.ConvTranspose2d(4, 4, 3)])
def test_normalised_weights_are_those_that_the_network_uses(kind, old, layer, tmp_path: Path) -> None:
    """Files of networks with spectral norm hold weight_orig, weight_u and weight_v in place of weight."""
    layer = copy.deepcopy(layer)
    norms = nn.utils if old else nn.utils.parametrizations
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises against the old ones, in which most files are
        norm = norms.spectral_norm if kind == "spectral" else norms.weight_norm
        network = nn.Sequential(norm(layer))
    network.train()
    for _ in range(20):  # the vectors find the largest value while it trains
        network(torch.randn(2, *([4] if isinstance(layer, nn.Linear) else [layer.in_channels, 8, 8])))
    network.eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    assert found.keys() == {"0.weight", "0.bias"}
    network(torch.zeros(1, *([4] if isinstance(layer, nn.Linear) else [layer.in_channels, 8, 8])))
    torch.testing.assert_close(found["0.weight"], network[0].weight.detach())


def test_files_of_before_torch_1_6(tmp_path: Path) -> None:
    """As those of AlexNet and VGG still are."""
    torch.save(state(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(read_weights(tmp_path / "old.pth"))


class Malicious:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch '{self.canary}'",)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(suffix: str, zipped: bool, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / f"weights{suffix}"
    content = {"0.weight": torch.zeros(2), "state_dict": Malicious(canary)}
    if zipped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=r"cannot be read as weights: .* Pass a .safetensors file") as found:
        read_weights(path)
    assert "weights_only" not in str(found.value)  # torch's own advice is to run it
    assert not canary.exists()
    pickle.loads(pickle.dumps(Malicious(canary)))  # the canary would have sung
    assert canary.exists()


def refused(path: Path) -> str:
    with pytest.raises(DataError) as found:
        read_weights(path)
    message = str(found.value)
    assert str(path) in message
    assert "Pass a .safetensors file, or a .pt or .pth file" in message
    assert "\n" not in message
    return message


def test_everything_else_is_refused_in_a_sentence(tmp_path: Path) -> None:
    assert "There is no weights file" in refused(tmp_path / "missing.pt")
    assert "There is no weights file" in refused(tmp_path)
    for name, content in {
        "empty.pt": b"",
        "text.pth": b"weights",
        "empty.safetensors": b"",
        "zip.pt": b"PK\3\4",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert "cannot be read as weights" in refused(tmp_path / name)
    (tmp_path / "weights.npz").write_bytes(b"PK")
    assert "not a readable weights file" in refused(tmp_path / "weights.npz")
    for name, content in {
        "list": [torch.zeros(2)],
        "tensor": torch.zeros(2),
        "epoch": {"epoch": 3},
        "int": {3: torch.zeros(2)},
    }.items():
        torch.save(content, tmp_path / f"{name}.pt")
        assert "contains no named tensors" in refused(tmp_path / f"{name}.pt")


@pytest.mark.parametrize("kind", ["safetensors", "pt", "old.pt"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(kind: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{kind}"
    if kind == "safetensors":
        save_file(state(), path)
    else:
        torch.save(state(), path, _use_new_zipfile_serialization=kind == "pt")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path)


@given(st.binary(max_size=60), st.sampled_from([".pt", ".safetensors"]))
def test_noise_is_refused(tmp_path_factory, content: bytes, suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"noise{suffix}"
    path.write_bytes(content)
    refused(path)


def test_the_fingerprint_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert fingerprint(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_hash_of_tensors_hears_all_that_matters_and_nothing_else() -> None:
    tensors = state()
    known = tensors_hash(tensors)
    assert known == tensors_hash(dict(reversed(tensors.items())))
    grid = torch.randn(2, 3, 4, 5)
    assert tensors_hash({"w": grid}) == tensors_hash({"w": grid.contiguous(memory_format=torch.channels_last)})
    assert tensors_hash({"w": grid}) == tensors_hash({"w": nn.Parameter(grid)})
    weight = tensors["0.weight"]
    changed = weight.clone()
    changed[3, 2] = torch.nextafter(changed[3, 2], torch.tensor(9.0))
    for other in (changed, weight.reshape(3, 4), weight.view(torch.int32), weight.double()):
        assert tensors_hash({**tensors, "0.weight": other}) != known
    renamed = {"0.weights" if name == "0.weight" else name: tensor for name, tensor in tensors.items()}
    assert tensors_hash(renamed) != known
    assert tensors_hash({"a": torch.zeros(0), "b": torch.ones(1)}) != tensors_hash(
        {"a": torch.ones(1), "b": torch.zeros(0)}
    )
    for dtype in (torch.bfloat16, torch.bool, torch.int64):
        assert len(tensors_hash({"x": torch.zeros(3, dtype=dtype), "y": torch.zeros((), dtype=dtype)})) == 64


def test_misfits_in_words() -> None:
    own = state()
    assert misfit(own, own) == ""
    assert misfit(own, {name: own[name] for name in ("0.weight", "0.bias")}) == ""  # counters may be absent
    assert misfit(own, {"0.weight": own["0.weight"]}, optional={"0.bias"}) == ""
    assert misfit(own, {**own, "0.bias": torch.zeros(5)}, optional={"0.bias"}) == ""
    assert misfit(own, {**own, "0.bias": torch.zeros(5)}) == (
        "1 of 3 tensors are missing or have another shape, such as 0.bias"
    )
    assert misfit(own, {**own, "2.weight": torch.zeros(5)}) == "1 tensors do not belong to it, such as 2.weight"
    assert "0.weight, and 1 tensors do not belong" in misfit(own, {"0.bias": own["0.bias"], "x": torch.zeros(1)})


URL = "https://example.invalid/models/net-{digest}.pth"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def test_a_download_is_kept_and_verified_every_time(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"the weights"
    digest = hashlib.sha256(content).hexdigest()[:8]
    fetched = []

    def fetch(url: str, path: str, hash_prefix: str, progress: bool) -> None:
        fetched.append((url, hash_prefix))
        Path(path).write_bytes(content)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    url = URL.format(digest=digest)
    for _ in range(2):
        assert downloaded(url, "") == cache / f"net-{digest}.pth"
    assert fetched == [(url, digest)]
    (cache / f"net-{digest}.pth").write_bytes(b"the weightz")
    with pytest.raises(DataError, match=rf"net-{digest}.pth is damaged.*Delete it"):
        downloaded(url, "")


@pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("invalid hash value")])
def test_without_a_network_there_is_a_remedy(cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(ConfigError, match=rf"No weights: .*is not there, and https.* gave {error}. Do this\.$"):
        downloaded(URL.format(digest="0" * 8), "Do this.")
    with pytest.raises(ValueError, match="sha256"):
        downloaded("https://example.invalid/net.pth", "")
