"""One step of training: gather, forward, loss, backward, update, for one run or several at once.

Runs that are trained at once have networks of one shape, each with its own seed, samples and
optimiser: their parameters are stacked, and the forward and backward passes of all are one.
Axes: R runs, B samples of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.config import Training
from bench.contracts import Samples
from bench.noise import Noise, noisy, supplied, words_of
from bench.sums import SplitSums

# Steps before a step is captured: what is made on first use has to be there by then.
_BEFORE_CAPTURE = 3


class Step:
    """A step of R runs, on samples that are gathered where they lie.

    methods: R of them, whose parameters become slices of one stack where R > 1; losses: (R,), the
    sums of the losses since they were last set to zero; optimisers: one for each run; noise: the
    words that the runs' modules ask for, or None where none does.
    """

    def __init__(
        self,
        methods: Sequence[nn.Module],
        source: Any,
        settings: Sequence[Training],
        seeds: Sequence[int],
        *,
        compiled: bool = False,
    ) -> None:
        """settings: the same batch for all; compiled: fuse the losses by `torch.compile`."""
        self.methods, self.source, self.settings = methods, source, settings
        device: torch.device = source.device
        self.index = torch.zeros(len(methods), settings[0].batch, dtype=torch.long, device=device)
        self.losses = torch.zeros(len(methods), device=device)
        words = _words_of_batch(methods[0], source, settings[0].batch)
        self.noise = Noise(seeds, words, device) if words else None
        self._stack: dict[str, Tensor] = {}
        if len(methods) > 1:
            self._stack = _stacked(methods)
        self.optimisers = [
            torch.optim.Adam(
                method.parameters(),
                # A tensor can be changed under a captured step.
                lr=torch.tensor(own.lr, device=device) if device.type == "cuda" else own.lr,
                amsgrad=own.amsgrad,
                weight_decay=own.weight_decay,
                fused=True,
                capturable=device.type == "cuda",
            )
            for method, own in zip(methods, settings, strict=True)
        ]
        self._rates = [own.lr for own in settings]
        self.compiled = compiled
        losses = self._losses_of_many if len(methods) > 1 else self._loss_of_one
        self._losses = torch.compile(losses, dynamic=False) if compiled else losses

    def rate(self, run: int, rate: float) -> None:
        """Set a run's learning rate."""
        if rate == self._rates[run]:
            return
        self._rates[run] = rate
        for group in self.optimisers[run].param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def __call__(self, index: Tensor) -> None:
        """One step of every run on the samples (R, B') with these numbers, B' at most B."""
        self._take(index.to(self.index.device, non_blocking=True))

    def _take(self, index: Tensor) -> None:
        if self.noise:
            self.noise.refill()
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        for tensor in self._stack.values():
            tensor.grad = None
        given, wanted = self.source.gather(index.flatten())
        precision = self.settings[0].precision
        with _factors(precision), self._products():
            with _autocast(index.device, precision), _attention(len(self.methods)):
                losses = self._losses(given, wanted)
            losses.float().sum().backward()  # type: ignore[no-untyped-call]
        self._share_gradients()
        for optimiser in self.optimisers:
            optimiser.step()
        self.losses += losses.detach()

    def _products(self) -> AbstractContextManager[object]:
        """How matrix products are computed, both ways."""
        return nullcontext()

    def _loss_of_one(self, given: Tensor, wanted: Tensor) -> Tensor:
        method = self.methods[0]
        words = supplied(method, self.noise.pool[0]) if self.noise else nullcontext()
        with words:
            loss: Tensor = cast(Any, method).loss(given, wanted)
        return loss[None]

    def _losses_of_many(self, given: Tensor, wanted: Tensor) -> Tensor:
        """Samples of all runs, one run after another -> (R,) losses."""
        runs = len(self.methods)
        apart = [part.view(runs, -1, *part.shape[1:]) for part in (given, wanted)]
        words = self.noise.pool if self.noise else self.index[:, :0]
        return _losses_of(self.methods[0], self._stack, apart[0], apart[1], words)

    def _share_gradients(self) -> None:
        """Give every run its slice of the stack's gradients."""
        for name, tensor in self._stack.items():
            for run, method in enumerate(self.methods):
                grad = tensor.grad
                method.get_parameter(name.removeprefix("method.")).grad = (
                    None if grad is None else grad[run]
                )


class CapturedStep(Step):
    """A step that is captured in a CUDA graph once, and then launched as a whole.

    The first steps are taken one operation at a time, and so is one on fewer samples than a
    batch. A method that cannot be captured, as one that waits for the device, goes on that way.
    captured: whether steps are launched as a whole by now; why_not: why they never will be.
    """

    def __init__(self, *given: Any, **settings: Any) -> None:
        super().__init__(*given, **settings)
        self._taken = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self.why_not = ""

    @property
    def captured(self) -> bool:
        """Whether steps are launched as a whole."""
        return self._graph is not None

    def __call__(self, index: Tensor) -> None:
        """As `Step`; samples may lie on either device."""
        if index.shape != self.index.shape:
            super().__call__(index)
            return
        self.index.copy_(index, non_blocking=True)
        if self._graph is None and self._taken >= _BEFORE_CAPTURE and not self.why_not:
            self._capture()
        if self._graph is not None:
            self._graph.replay()
            return
        # On a stream of its own, as it will be when it is captured.
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._take(self.index)
        torch.cuda.current_stream().wait_stream(stream)
        self._taken += 1

    def _products(self) -> AbstractContextManager[object]:
        # What is compiled chooses its own, and what is never captured would pay for it every time.
        if self.compiled or self.why_not:
            return nullcontext()
        return SplitSums()  # type: ignore[no-untyped-call]

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        for generator in self.noise.generators if self.noise else ():
            graph.register_generator_state(generator)
        torch.cuda.synchronize()
        stream = torch.cuda.current_stream()
        try:
            # Nothing is computed while this is captured.
            with torch.cuda.graph(graph):
                self._take(self.index)
        except RuntimeError as error:
            # A capture that fails leaves its own stream the current one.
            torch.cuda.set_stream(stream)
            torch.cuda.synchronize()
            if self.noise:
                self.noise.renew()
            self.why_not = next(iter(str(error).splitlines()), type(error).__name__)
            return
        self._graph = graph


class _Loss(nn.Module):
    """A method's loss as a module's forward pass, which `functional_call` wants."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def forward(self, given: Tensor, wanted: Tensor) -> Tensor:
        """What `loss` returns."""
        loss: Tensor = cast(Any, self.method).loss(given, wanted)
        return loss


def _losses_of(
    method: nn.Module,
    stack: Mapping[str, Tensor],
    given_RB: Tensor,
    wanted_RB: Tensor,
    words_Rn: Tensor,
) -> Tensor:
    """(R,) losses of a method with each run's parameters, samples and random words."""
    module = _Loss(method)

    def loss(own: dict[str, Tensor], given: Tensor, wanted: Tensor, words: Tensor) -> Tensor:
        with supplied(module, words):
            found: Tensor = functional_call(module, own, (given, wanted))
        return found

    losses: Tensor = vmap(loss, randomness="error")(dict(stack), given_RB, wanted_RB, words_Rn)
    return losses


def stackable(methods: Sequence[nn.Module], source: Samples, precision: str = "float32") -> bool:
    """Whether networks can be trained at once in an arithmetic, each as if it were alone.

    They cannot where one has parameters of other shapes than the others, keeps statistics of a
    batch as it goes (batch norm), draws random numbers of its own, or does what `torch.func.vmap`
    does not know, as convolutions in bfloat16. Tries it out with two samples, and changes nothing.
    """
    first = methods[0]
    if any(_form(method) != _form(first) for method in methods):
        return False
    fixed = [dict(method.named_buffers()) for method in methods]
    if any(not torch.equal(other[name], fixed[0][name]) for other in fixed for name in other):
        return False
    for module in first.modules():
        draws = isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0
        if draws or isinstance(module, nn.modules.batchnorm._BatchNorm):
            return False
    given, wanted = _two(source)
    words = torch.zeros(_words_of_batch(first, source, 2), dtype=torch.int16, device=given.device)
    own = _Loss(first).named_parameters()
    try:
        with _autocast(given.device, precision), _attention(len(methods)):
            _losses_of(
                first,
                {name: parameter.detach()[None] for name, parameter in own},
                *(part[None] for part in (given, wanted, words)),
            )
    except RuntimeError:
        return False
    return True


def _form(method: nn.Module) -> tuple[type, dict[str, torch.Size]]:
    """What networks of one shape have in common."""
    tensors = (*method.named_parameters(), *method.named_buffers())
    return type(method), {name: tensor.shape for name, tensor in tensors}


def _two(source: Any) -> tuple[Tensor, Tensor]:
    """Two samples: batch norm refuses a single one."""
    found: tuple[Tensor, Tensor] = source.gather(
        torch.zeros(2, dtype=torch.long, device=source.device)
    )
    return found


def _words_of_batch(method: nn.Module, source: Any, batch: int) -> int:
    """How many random words a step on so many samples asks for."""
    if not noisy(method):
        return 0
    sample = _two(source)
    # Whatever else is random about the loss starts from the seed.
    with torch.random.fork_rng(devices=[source.device] if source.device.type == "cuda" else []):
        words = words_of(method, lambda: cast(Any, method).loss(*sample))
    return words * batch // 2


def _stacked(methods: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Parameters of R methods in one tensor each, of which the methods' own become slices."""
    stack = {}
    for name, _ in methods[0].named_parameters():
        whole = torch.stack([method.get_parameter(name).detach() for method in methods])
        for run, method in enumerate(methods):
            method.get_parameter(name).data = whole[run]
        stack[f"method.{name}"] = whole.requires_grad_()
    return stack


def _attention(runs: int) -> AbstractContextManager[object]:
    """How attention is computed: that of several runs at once by plain products.

    vmap has no rule for the fused kernels. On a CPU it calls them once for each run, on a GPU they
    refuse what it gives them.
    """
    return sdpa_kernel(SDPBackend.MATH) if runs > 1 else nullcontext()


def _autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def _factors(precision: str) -> Iterator[None]:
    """Whether a GPU may round the factors of matrix products and convolutions, both ways."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
