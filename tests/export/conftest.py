"""What tests export more than once is kept while tests run."""

import copy

import pytest

from zerosum.export import onnx_file
from zerosum.utils.weights import tensors_hash


@pytest.fixture(autouse=True, scope="session")
def a_network_is_converted_once():
    """The same weights in the same graph; each file is still run and compared."""
    kept, converted = {}, onnx_file._converted

    def once(graph):
        key = key_of(graph)
        if key not in kept:
            kept[key] = converted(graph)
        return copy.deepcopy(kept[key])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(onnx_file, "_converted", once)
        yield


def key_of(graph):
    """What a graph computes depends on."""
    plain = getattr(graph.module, "plain", graph.module)
    about = [getattr(plain, name, None) for name in ("images", "given")]
    spec, info = (getattr(plain, name, None) for name in ("spec", "info"))
    if spec is not None:
        about += [spec.has_styles, spec.uses_instances]
    if info is not None:
        about += [info.shape, info.conditions, info.labels]
    weights = tensors_hash(graph.module.state_dict())
    return repr((weights, graph.module, graph.inputs, graph.output, graph.bounded, about))
