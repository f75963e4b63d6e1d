"""What a method is: the contract between the harness and `methods/`, and the error both raise.

A method recovers windows from keyframes, or predicts the future from a history. Shapes: B windows
or histories, K sampling interval, Q intervals per window, T = K*Q + 1 frames of a window, H frames
of history, F frames of future, J joints in D dimensions, P = J*D values of one flat pose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor


# The longest line that an error may be: files of others may hold names of any length.
_LONGEST = 2000


def printable(text: str) -> str:
    """A text without what a terminal would act on; as many characters as before.

    Spaces of all kinds, line breaks too, are a space each; control and formatting characters (of
    which escape sequences are made) and halves of characters are a question mark each.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else "?" for sign in text)


class BadInput(Exception):
    """Something the user gave cannot be used: one line that says what, where and what to do.

    problem: what is wrong; file, clip: where; found, expected: the two sides of the mismatch;
    hint: what to do about it. The command line prints it and exits with code 2.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        file: object = None,
        clip: str | None = None,
        found: object = None,
        expected: object = None,
        hint: str | None = None,
    ) -> None:
        parts = [problem]
        if file is not None:
            parts.insert(0, str(file))
        if clip is not None:
            parts.insert(-1, f"clip {clip}")
        line = ": ".join(parts)
        if found is not None:
            line += f"; found {found}"
        if expected is not None:
            line += f"; expected {expected}"
        if hint is not None:
            line += f"; {hint}"
        line = printable(" ".join(line.split()))
        super().__init__(line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ...")


# What code that is not ours may raise while it runs.
FOREIGN_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Window:
    """The geometry of one window: Q + 1 keyframes, every K-th of T = K*Q + 1 frames.

    interval: K; intervals: Q; joints: J; dims: D (2, 3, or 6 for rotations).
    """

    interval: int
    intervals: int
    joints: int
    dims: int

    def __post_init__(self) -> None:
        for name in ("interval", "intervals", "joints", "dims"):
            value = getattr(self, name)
            if value < 1:
                raise BadInput(f"a window's {name} must be positive", found=value)

    @property
    def frames(self) -> int:
        """T, the number of frames."""
        return self.interval * self.intervals + 1

    @property
    def keyframes(self) -> int:
        """Q + 1, the number of keyframes."""
        return self.intervals + 1

    @property
    def pose(self) -> int:
        """P = J*D, the length of a flat pose."""
        return self.joints * self.dims


@dataclass(frozen=True)
class Span:
    """The geometry of one prediction: H frames of history, and the F frames after them.

    history: H; future: F, how far a method is trained to look; joints: J; dims: D.
    """

    history: int
    future: int
    joints: int
    dims: int

    def __post_init__(self) -> None:
        for name in ("history", "future", "joints", "dims"):
            value = getattr(self, name)
            if value < 1:
                raise BadInput(f"a span's {name} must be positive", found=value)

    @property
    def frames(self) -> int:
        """H + F, the number of frames."""
        return self.history + self.future

    @property
    def pose(self) -> int:
        """P = J*D, the length of a flat pose."""
        return self.joints * self.dims


Geometry = Window | Span


class Samples(Protocol):
    """What is given and what is wanted, for one split, as closed-form methods may read it.

    Recovery: keyframes (B, Q+1, P), or for a refiner every frame (B, T, P), and truth (B, T, P),
    with missed detections filled in; prediction: history (B, H, P) and future (B, F, P).
    """

    def __len__(self) -> int:
        """How many samples there are."""
        ...

    def batches(self, size: int, most: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (given, wanted) in a fixed order.

        size: the largest B; most: at most so many samples, spread evenly over the split.
        """
        ...


@dataclass(frozen=True)
class Real:
    """A number from low to high, tried evenly, or evenly in its logarithm.

    when: as in `Search`.
    """

    low: float
    high: float
    log: bool = False
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Whole:
    """A whole number from low to high in steps; when: as in `Search`."""

    low: int
    high: int
    step: int = 1
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """One of some values, each as `Options` would take it; when: as in `Search`."""

    values: tuple[Any, ...]
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


Tunable = Real | Whole | Choice


@dataclass(frozen=True)
class Search:
    """What `bench tune` may change of a method: the class attribute `search`.

    options: by the name of a field of `Options`; training: by that of a field of
    `bench.config.Training`, for a `Trainable`. An entry is tuned only where `when` holds: every
    option it names (a field of `Training` as `training.NAME`), tuned earlier or not at all, has
    one of the values given. Else it stays as the preset has it. nothing: why nothing is tuned,
    where that is so.
    """

    options: Mapping[str, Tunable] = field(default_factory=dict)
    training: Mapping[str, Tunable] = field(default_factory=dict)
    nothing: str = ""


@runtime_checkable
class Method(Protocol):
    """A plugin. Its class is what the registry holds; the harness builds `cls(options, geometry)`.

    geometry: a `Window` for methods that recover or refine, a `Span` for those that predict.

    title: the name in tables; source: paper or "ours"; Options: a frozen dataclass of typed
    hyper-parameters with defaults; revision: raised when a change of the code moves its numbers,
    so that stored results are not taken for new ones. A class may have `search`, a `Search`, for
    `bench tune`.
    """

    title: ClassVar[str]
    source: ClassVar[str]
    revision: ClassVar[int]
    Options: ClassVar[type[Any]]

    def __init__(self, options: Any, geometry: Any) -> None: ...


@runtime_checkable
class Recovery(Method, Protocol):
    """A method that sees only keyframes."""

    def recover(self, keyframes: Tensor) -> Tensor:
        """(B, Q+1, P) keyframes in model space -> (B, T, P) recovered window, same dtype."""
        ...


@runtime_checkable
class Refiner(Method, Protocol):
    """A method that sees the estimator's output at every frame: a reference, not a rival.

    It may be `Fitted` or `Trainable` too. Missed detections are then filled in as keyframes' are;
    one that learns nothing is given them as they are, as NaN.
    """

    def refine(self, frames: Tensor) -> Tensor:
        """(B, T, P) detected frames in model space -> (B, T, P) refined frames, same dtype."""
        ...


@runtime_checkable
class Foldable(Method, Protocol):
    """A method of recovery or a refiner with a form of its own for inference."""

    def folded(self) -> Callable[[Tensor], Tensor]:
        """The same function, for inference alone: what `recover` or `refine` does, made faster.

        What is constant once a method has learned is worked out beforehand. The result equals to
        1e-4 of its largest value, for any batch, in the method's type and on its device; later
        changes of the method have no effect on it. BadInput where options leave no such form.
        """
        ...


@runtime_checkable
class Prediction(Method, Protocol):
    """A method that sees a history and continues it."""

    def predict(self, history: Tensor, frames: int) -> Tensor:
        """(B, H, P) history in model space -> (B, frames, P), the frames after it, same dtype.

        frames: at most F, or further where the method can go further; else BadInput. A method
        with one model for each horizon takes the model made for so many frames, and has an
        attribute `per_horizon` that is true: others are asked for the furthest horizon alone.
        """
        ...


@dataclass(frozen=True)
class Adopted:
    """Published weights as a method can use them, from the files of one folder.

    options, geometry (`history` and `future`): what to build the method with; state: what its
    `load_state_dict` takes, strictly; files: the names of the files it came from; joints, dims:
    the poses they were trained on, 0 joints where that is not known. A class that can use foreign
    weights has a classmethod `adopt(files) -> list[Adopted]`: it is handed the state dicts of a
    folder by file name, and gives one entry for each model that it finds, none where nothing is
    its own.
    """

    options: Mapping[str, Any]
    geometry: Mapping[str, int]
    state: Mapping[str, Tensor]
    files: tuple[str, ...]
    joints: int = 0
    dims: int = 3


@runtime_checkable
class Fitted(Method, Protocol):
    """A method whose parameters have a closed form."""

    def fit(self, train: Samples, validation: Samples) -> Mapping[str, float]:
        """Learn from `train`, choose penalties on `validation`; return what was chosen, by name."""
        ...

    def state_dict(self) -> Mapping[str, Tensor]:
        """The fitted parameters, by name."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> object:
        """Take fitted parameters back."""
        ...


@runtime_checkable
class Trainable(Method, Protocol):
    """A `torch.nn.Module` that is trained by gradient descent.

    The harness owns optimiser, schedule, batches, seeds and device; the method owns its loss.
    A class may have `training_defaults`, a mapping of `bench.config.Training`'s fields, for what
    no preset says: a plugin file has no presets.
    """

    def loss(self, given: Tensor, wanted: Tensor, /) -> Tensor:
        """What is given and wanted, as in `Samples` -> scalar to minimise."""
        ...

    def parameters(self, recurse: bool = True) -> Iterator[torch.nn.Parameter]:
        """As `torch.nn.Module.parameters`."""
        ...


@runtime_checkable
class Noisy(Protocol):
    """A module of a trainable method that takes its random numbers from the harness.

    Seeds that are trained at once then draw what each draws alone, which `torch.nn.Dropout` cannot.
    words: n -> (n,) int16, every value as likely as any other; None outside of training by the
    harness, when the module draws for itself.
    """

    words: Callable[[int], Tensor] | None
