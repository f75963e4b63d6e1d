"""Methods as ONNX models, and ONNX Runtime to run them.

Shapes as in `bench.contracts`: B windows, T frames, Q + 1 keyframes, P pose values. The exporter is
the one that traces: it takes methods that are no modules as well, within seconds.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx.symbolic_helper import parse_args

from bench.contracts import FOREIGN_ERRORS, BadInput

PACKAGES = ("onnx", "onnxruntime")
"""What export and running take; the extra `onnx` brings them."""

_OPSET = 17

Run = Callable[[Tensor], Tensor]
"""(B, Q+1, P) keyframes, or (B, T, P) frames for a refiner -> (B, T, P)."""


def missing_packages() -> list[str]:
    """Those of `PACKAGES` that are not installed."""
    return [name for name in PACKAGES if find_spec(name) is None]


def to_onnx(method: object, run: Run, given: Tensor) -> bytes:
    """A method as an ONNX model with one input and one output, for the shape of `given`.

    method: ready to be used, in evaluation mode; run: what it does. Tensors of a method that is no
    module become constants. The batch is fixed, as the window is: what is known when a model is
    made need not be asked when it runs. BadInput names the packages that are missing, or why the
    method has no such form.
    """
    if missing := missing_packages():
        raise BadInput(f"without {' and '.join(missing)}", hint="pip install 'bench[onnx]'")
    file = io.BytesIO()
    model = _Forward(method, run).eval()
    try:
        with _symbols(), warnings.catch_warnings():
            # Of constants and of shapes: both are meant to be fixed.
            warnings.simplefilter("ignore")
            export: Any = torch.onnx.export
            export(model, (given,), file, dynamo=False, opset_version=_OPSET)
    except FOREIGN_ERRORS as error:
        # The exporter may go on with a report of many lines.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BadInput("no export", found=reason) from error
    return file.getvalue()


def session(model: bytes, threads: int) -> Callable[[Any], Any]:
    """An ONNX model as a function of one array, (B, Q+1, P) or (B, T, P), with so many threads.

    BadInput where ONNX Runtime cannot run it on the CPU.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    refusals = (errors.Fail, errors.InvalidGraph, errors.InvalidProtobuf, errors.NotImplemented)
    try:
        running = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except refusals as error:
        raise BadInput("ONNX Runtime refuses the model", found=str(error)) from error
    name = running.get_inputs()[0].name

    def function(given: Any) -> Any:
        return running.run(None, {name: given})[0]

    return function


class _Forward(nn.Module):
    """What the exporter wants: a module, with the method's parameters among its own."""

    def __init__(self, method: object, run: Run) -> None:
        super().__init__()
        self.method = method
        self.run = run

    def forward(self, given: Tensor) -> Tensor:
        return self.run(given)


@contextmanager
def _symbols() -> Iterator[None]:
    """Graphs that ONNX Runtime runs fast, in place of what the exporter makes of some functions."""
    exporter: Any = torch.onnx
    symbols = {
        "aten::mT": _transposed,
        "aten::layer_norm": _normalised,
        "aten::lerp": _between,
        "aten::scaled_dot_product_attention": _attended,
    }
    for name, symbol in symbols.items():
        exporter.register_custom_op_symbolic(name, symbol, _OPSET)
    try:
        yield
    finally:
        for name in symbols:
            exporter.unregister_custom_op_symbolic(name, _OPSET)


def _transposed(graph: Any, x: Any) -> Any:
    """`Tensor.mT`, which the exporter would refuse."""
    axes = list(range(x.type().dim()))
    return graph.op("Transpose", x, perm_i=[*axes[:-2], axes[-1], axes[-2]])


def _between(graph: Any, start: Any, end: Any, share: Any) -> Any:
    """`torch.lerp`, without its care for shares near one, which doubles the work."""
    return graph.op("Add", start, graph.op("Mul", share, graph.op("Sub", end, start)))


@parse_args("v", "is", "v", "v", "f", "none")
def _normalised(
    graph: Any, x: Any, shape: list[int], weight: Any, bias: Any, eps: float, _: Any
) -> Any:
    """`layer_norm` as ONNX's instance norm of rows.

    ONNX Runtime's own kernel of layer norms goes number by number: on 101 rows of 64 it takes
    longer than their product with a 64 x 128 matrix, an instance norm half as long as that.
    """
    sizes = x.type().sizes()
    rows = math.prod(sizes) // math.prod(shape)

    def constant(value: Tensor) -> Any:
        return graph.op("Constant", value_t=value)

    flat = graph.op("Reshape", x, constant(torch.tensor([1, rows, -1])))
    one, zero = constant(torch.ones(rows)), constant(torch.zeros(rows))
    normed = graph.op("InstanceNormalization", flat, one, zero, epsilon_f=eps)
    normed = graph.op("Reshape", normed, constant(torch.tensor(sizes)))
    for kind, part in (("Mul", weight), ("Add", bias)):
        if not part.node().mustBeNone():
            normed = graph.op(kind, normed, part)
    return normed.setType(x.type())


@parse_args("v", "v", "v", "v", "f", "b", "v", "b")
def _attended(
    graph: Any,
    query: Any,
    key: Any,
    value: Any,
    bias: Any,
    _: float,
    causal: bool,
    scale: Any,
    __: bool,
) -> Any:
    """Attention with one factor, on the queries, or none where it is one."""
    if causal:
        raise NotImplementedError("causal attention has no ONNX form here")
    width = query.type().sizes()[-1]
    given = scale.node()
    factor = width**-0.5
    if not given.mustBeNone():
        # A number or a tensor of one, by how far the exporter has come.
        factor = float(getattr(given, given.kindOf("value"))("value"))
    if factor != 1:
        query = graph.op("Mul", query, graph.op("Constant", value_t=torch.tensor(factor)))
    scores = graph.op("MatMul", query, _transposed(graph, key))
    if not bias.node().mustBeNone():
        scores = graph.op("Add", scores, bias)
    return graph.op("MatMul", graph.op("Softmax", scores, axis_i=-1), value)
