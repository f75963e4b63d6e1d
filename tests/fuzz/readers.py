"""Every reader of files, with valid files that are made here and how they are spoilt.

A reader is one line of `READERS`. It must give a value or raise BadInput, whatever it is given.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Literal

import h5py
import numpy as np
import torch
import yaml

from bench import checkpoints, config, plans, report
from bench.clocking import Clocked
from bench.contracts import BadInput, Window
from bench.data import deciwatch, expmap, h36m, smpl, store
from bench.data.body import BENDS, JOINTS, BodyModel
from bench.data.clips import BODY_SHAPE
from bench.data.npz import read_npy, read_npz
from bench.machine import Machine
from bench.report.terminal import draw
from bench.report.timings import FORMS
from bench.report.timings import draw as draw_times
from bench.results import Cell, ClipScore, Planned, Result, Results, Scored, from_json, to_json
from bench.timing import Measured
from bench.timings import Timing, Timings
from bench.tracking.journal import FOLDER as QUEUE
from bench.tracking.journal import Journal, journals
from bench.trials import Study, Trial, Trials
from bench.tuned import load as load_tuned
from bench.unfinished import Snapshot, Unfinished
from bench.weights import Weights
from fuzz.spoiling import NUMBERS, Spoil, in_archive, in_header, in_json, mangled


@dataclass(frozen=True)
class Reader:
    """lay: writes valid files into a folder and names the one that is spoilt; read: reads it.

    more: further valid contents of that file; spoil: how it is spoilt; share: of all inputs;
    refuses: False where what is damaged is passed over.
    """

    name: str
    lay: Callable[[Path], Path]
    read: Callable[[Path], object]
    spoil: Spoil = mangled
    more: Callable[[], Sequence[bytes]] = list
    share: float = 1.0
    refuses: bool = True

    def inputs(self, folder: Path) -> tuple[Path, list[bytes]]:
        """The file to spoil, and the valid contents it starts from."""
        file = self.lay(folder)
        return file, [file.read_bytes(), *self.more()]


CELL = Cell(
    dataset="pw3d-spin",
    fingerprint="f",
    method="linear",
    preset="default",
    revision=1,
    options={"sizes": [1, 2], "kind": None},
    training={"lr": 1e-3},
    geometry={"interval": 10, "intervals": 5},
    protocol="deciwatch",
    budget="smoke",
    limits={"test_clips": 2},
    selection="last",
    seed=0,
)
RESULT = Result(
    CELL,
    "done",
    metrics={"mpjpe": 61.2, "accel": 1.9},
    clips=(
        ClipScore("a/walking_1", "a/walking_1", 99, {"mpjpe": (61.2, 99.0), "accel": (1.9, 97)}),
    ),
    scored=Scored(1, 99, 14),
    parameters=3,
    cost={"macs": 1.5e6},
    curve=({"windows": 10.0, "loss": 0.5},),
    dataset={
        "title": "3DPW / SPIN",
        "fps": 30.0,
        "standin": True,
        "notes": ["a note"],
        "origin": "x",
    },
    provenance={"seconds": 1.5, "hardware": {"cpu": "Fast 9"}},
)
FAILED = replace(RESULT, status="failed", error="RuntimeError: out of it", metrics={}, clips=())
TIMING = Timing(
    Machine("Fast 9", 4, "Linux x86_64", {"python": "3.11.7"}),
    *("linear", "linear", {"width": 8}, 1, "h36m-fcn", "Human3.6M / FCN", Window(10, 10, 17, 3)),
    *("eager", "float32", 1, 1, Measured(0.02, 0.01, 0.03, (0.01, 0.02), 7), "one", 0),
    {"commit": "abc", "time": "2026-01-01T00:00:00+00:00"},
)


def written(name: str, content: Callable[[], bytes]) -> Callable[[Path], Path]:
    """A single file of that name."""

    def lay(folder: Path) -> Path:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content())
        return file

    return lay


def objects(*items: object) -> np.ndarray:
    """An object array, which NumPy saves as a pickle."""
    array = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        array[place] = item
    return array


def npz(**arrays: object) -> bytes:
    """An .npz file."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    """An .npy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _arrays() -> bytes:
    poses = np.arange(12, dtype=np.float32).reshape(2, 6)
    names = np.array(["v/1", "v/2"])
    return npz(a=poses, x=objects(poses, ["v/1", "v/2"], names, 3, [(1, 2), (3, 4)]), n=names)


def _deciwatch(folder: Path) -> Path:
    """The four files of Sub-JHMDB, of two and one clips."""
    paths = []
    for part, clips in (("train", 2), ("test", 1)):
        rng = np.random.default_rng(clips)
        names = objects(*(np.array([f"{part}{c}/{t}.png" for t in range(3)]) for c in range(clips)))
        poses = [objects(*rng.uniform(0, 99, (clips, 3, 30))) for _ in range(2)]
        sizes = objects(*([(240, 320)] * 3 for _ in range(clips)))
        boxes = objects(*(np.array([[1.0, 2, 90, 95]] * 3) for _ in range(clips)))
        truth = npz(imgname=names, joints_2d=poses[0], imgshape=sizes, bbox=boxes)
        detected = npz(imgname=names, joints_2d=poses[1])
        for place, content in (
            (f"groundtruth_poses/jhmdb/jhmdb_gt_{part}.npz", truth),
            (f"detected_poses/jhmdb/simplepose/jhmdb_simplepose_{part}.npz", detected),
        ):
            paths.append(written(place, lambda content=content: content)(folder))
    return paths[0]


def _read_deciwatch(file: Path) -> object:
    about = config.dataset_config("jhmdb-simplepose")
    source = next(each for each in about.sources if each.layout == "deciwatch")
    return deciwatch.load(file.parents[2], source, about, "jhmdb-simplepose")


def _body(folder: Path) -> Path:
    """A body model of five vertices, as a pickle."""
    np.save(folder / "J_regressor_extra.npy", np.ones((9, 5)))
    arrays = {
        "v_template": np.ones((5, 3)),
        "shapedirs": np.ones((5, 3, BODY_SHAPE)),
        "posedirs": np.ones((5, 3, BENDS)),
        "J_regressor": np.ones((JOINTS, 5)),
        "weights": np.ones((5, JOINTS)),
        "kintree_table": np.array([[2**32 - 1, *range(JOINTS - 1)], range(JOINTS)], np.uint32),
        "info": {"steps": [1, 2.5, (None, True)], "words": "a"},
    }
    return written("SMPL_NEUTRAL.pkl", lambda: pickle.dumps(arrays, 2))(folder)


def _read_body(file: Path) -> BodyModel:
    return smpl.read(file.parent)


def _hdf5(values: dict[str, object]) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as opened:
        for name, value in values.items():
            opened[name] = value
    return stream.getvalue()


def _hostile_hdf5(rng: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Mangled bytes, or a file that claims something else under the right name."""
    if rng.random() < 0.8:
        return mangled(rng, content, others)
    stream = io.BytesIO()
    key = rng.choice(("3D_positions", "poses"))
    with h5py.File(stream, "w") as opened:
        kind = rng.randrange(7)
        shape = tuple(rng.choice((0, 1, 2, 16, 96, 10**6)) for _ in range(rng.randrange(4)))
        if kind == 0:
            opened[key] = h5py.ExternalLink("/etc/passwd", "/x")
        elif kind == 1:
            opened[key] = h5py.SoftLink(f"/{key}")
        elif kind == 2:
            opened.create_dataset(key, (96, 2), "u1", external=[("/etc/hostname", 0, 192)])
        elif kind == 3:
            opened[key] = np.zeros(3, [("a", "f4"), ("b", "i4")])
        elif kind == 4:
            opened.create_dataset(key, (96, rng.choice(NUMBERS) % 10**12 + 1), "f4", chunks=(96, 1))
        elif kind == 5:
            opened.create_group(f"{key}/a")
        else:
            opened.create_dataset(key, shape, rng.choice(("f2", "f8", "i8", "S3", "c8", "?")))
    return stream.getvalue()


_TAKE = "S1/MyPoses/3D_positions/Walking.h5"


def _positions() -> bytes:
    return _hdf5({"3D_positions": np.arange(192, dtype=np.float32).reshape(96, 2)})


def _read_take(file: Path) -> object:
    take = h36m.Take("S1", "Walking", file.parents[3])
    return take.world


def _cameras() -> bytes:
    numbers = {"R": (3, 3), "T": (3,), "f": (2,), "c": (2,), "k": (3,), "p": (2,)}
    names = ("54138969", "55011271", "58860488", "60457274")
    values: dict[str, object] = {}
    for subject in (1, 5, 6, 7, 8, 9, 11):
        for place, name in enumerate(names, start=1):
            group = f"subject{subject}/camera{place}"
            values |= {f"{group}/{key}": np.ones(shape) for key, shape in numbers.items()}
            values[f"{group}/Name"] = np.array([ord(sign) for sign in name], np.uint16)
    return _hdf5(values)


def _read_cameras(file: Path) -> object:
    return h36m.cameras(file.parent)


def _text(lines: int = 3) -> bytes:
    return b"\n".join([b",".join(b"%.2f" % (i / 9) for i in range(99))] * lines)


def _read_text(file: Path) -> object:
    return expmap.parse(file.read_bytes(), 99, file, "a")


def _texts() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, lines in (("S1/walking_1", 2), ("S11/eating_1", 2), ("S5/eating_1", 334)):
            archive.writestr(f"h3.6m/dataset/{name}.txt", _text(lines))
    return stream.getvalue()


def _read_texts(file: Path) -> object:
    about = config.dataset_config("h36m-motion")
    return expmap.load(file, about.sources[0], about, "h36m-motion")


def _state() -> dict[str, torch.Tensor]:
    return {"module.a": torch.arange(6.0).view(2, 3), "module.b": torch.ones(2, dtype=torch.int64)}


def _torch(*, new: bool) -> Callable[[], bytes]:
    def content() -> bytes:
        stream = io.BytesIO()
        whole = {"state_dict": _state(), "epoch": 3}
        torch.save(whole, stream, _use_new_zipfile_serialization=new)
        return stream.getvalue()

    return content


def _weights(folder: Path) -> Path:
    return Weights(folder).save(CELL, _state(), {"curve": [], "seconds": 1.0})


def _read_weights(file: Path) -> object:
    found = Weights(file.parents[1]).load(CELL)
    if found is None:  # which is what it says of damaged ones
        raise BadInput("damaged", file=file)
    return found


def _plan(folder: Path) -> Path:
    planned = (Planned(1, 2, CELL), Planned(1, 1, replace(CELL, method="estimator", seed=1)))
    table = config.table_config("table3")
    plan = plans.Plan("table3", table, planned, ("estimator",), {"aist-spin": "no data"}, None, "x")
    return plans.save(plan, folder)


def _table(folder: Path) -> Path:
    """A plan with the results of its cells; one of them is spoilt."""
    _plan(folder)
    Results(folder).put(replace(RESULT, cell=replace(CELL, method="estimator", seed=1)))
    file = Results(folder).put(RESULT)
    file.write_bytes(_bare(RESULT))
    return file


def _draw(file: Path) -> None:
    """Everything that is made of a result, in every form; of a plan likewise."""
    folder = file.parents[1]
    plan = plans.load(folder / "plans/table3.json")
    # Under whatever key it is stored, the cell that it claims to be is drawn.
    results = [from_json(path.read_text("utf-8", "replace")) for path in folder.glob("results/*")]
    table = plan.drawn(results)
    for form in (False, True):
        draw(table, width=100, plain=True, long=form)
    report.write(table, folder / "drawn")


def _bare(result: Result) -> bytes:
    """As earlier versions wrote it: without a digest, behind which nothing would be reached."""
    said = json.loads(to_json(result))
    del said["digest"]
    return json.dumps(said, indent=1).encode()


def _result() -> bytes:
    return _bare(RESULT)


def _others() -> list[bytes]:
    return [_bare(FAILED), to_json(RESULT).encode()]


def _read_result(file: Path) -> object:
    return from_json(file.read_text("utf-8", "replace"), file)


def _timing(folder: Path) -> Path:
    Timings(folder).put(replace(TIMING, method="ridge", place=1))
    return Timings(folder).put(TIMING)


def _read_timings(file: Path) -> object:
    clocked = Clocked(tuple(Timings(file.parents[1]).all()), ())
    return [draw_times(clocked, form) for form in FORMS]


def _prepared(folder: Path) -> Path:
    """A prepared data set with its description, of four clips."""
    made = _deciwatch(folder / "raw")
    store.save(_read_deciwatch(made), folder / "data")
    return folder / "data" / "dataset.json"


def _prepared_array(folder: Path) -> Path:
    _prepared(folder)
    return folder / "data" / "test_truth.npy"


def _yaml(folder: Path) -> Path:
    preset = {"title": "x", "intervals": 3, "options": {"a": ["x", 1.5, None], "b": {"c": True}}}
    return written("a.yaml", lambda: yaml.dump(preset).encode())(folder)


def _bombs() -> list[bytes]:
    repeated = (", ".join([f"*a{level - 1}"] * 9) for level in range(1, 20))
    lines = [f"b{level}: &a{level} [{text}]" for level, text in enumerate(repeated, start=1)]
    whole = "\n".join(["a: &a0 [x, x]", *lines])
    return [whole.encode(), b"&a [*a]", b"{" * 3000, b"- " * 3000, b"a: 1:2:3\nb: 2001-99-99"]


def _of(model: type[config.Strict]) -> Callable[[Path], object]:
    return lambda file: config.read(file, model)


def _trial(folder: Path) -> Path:
    aims: dict[str, Literal["minimize", "maximize"]] = {"mpjpe": "minimize"}
    study = Study("ridge-h36m", "tune-h36m", "ridge", "h36m-fcn", "f", "deciwatch", aims)
    trial = Trial(3, "complete", {"lr": 0.1}, {"mpjpe": 60.0}, ({"epoch": 1.0, "mpjpe": 61.0},))
    return Trials(folder).put(study, trial)


def _read_trial(file: Path) -> object:
    return Trials(file.parents[1].parent).trial(file.parent.name, 3)


def _study(folder: Path) -> Path:
    return _trial(folder).with_name("study.json")


def _read_study(file: Path) -> object:
    return Trials(file.parents[1].parent).study(file.parent.name)


def _tuned() -> bytes:
    origin = {
        **{"study": "a", "fingerprint": "f", "standin": True, "protocol": "deciwatch", "seed": 0},
        **{"budget": "quick", "base": "default", "trials": 9, "windows": 99, "finalists": 3},
        **{"seeds": 2, "label": "a", "values": {"mpjpe": 60.5}},
    }
    one = {"options": {"lr": 0.1}, "geometry": {"intervals": 10}, "origin": origin}
    return yaml.safe_dump({"method": "ridge", "datasets": {"h36m-fcn": one}}).encode()


def _unfinished(folder: Path) -> Path:
    kept = Unfinished(folder, "a", "cpu")
    kept.save(Snapshot({"w": torch.ones(3)}, {"0.step": torch.ones(1)}, {}, {"step": 3}))
    return kept.path


def _read_unfinished(file: Path) -> object:
    found = Unfinished(file.parents[1], "a", "cpu").load()
    if found is None:  # which is what it says of damaged ones
        raise BadInput("damaged", file=file)
    return found


def _journal(folder: Path) -> Path:
    journal = Journal(folder, "table3")
    journal.want("cell a_b_s0_0123", "0" * 16)
    journal.stored("s" * 12, "cell a_b_s0_0123", "0" * 16)
    return folder / QUEUE / "table3.log"


def _read_journal(file: Path) -> object:
    return [journal.waiting("s" * 12) for journal in journals(file.parents[1])]


def _configs(name: str, kind: str, model: type[config.Strict], share: float = 1.0) -> Reader:
    """The files of one kind that ship."""
    texts = [path.read_bytes() for path in sorted((config.assets() / kind).glob("*.yaml"))]
    return Reader(
        name, written("a.yaml", lambda: texts[0]), _of(model), more=lambda: texts[1:], share=share
    )


READERS = (
    Reader("npz", written("a.npz", _arrays), read_npz, in_archive, share=2),
    Reader("npy", written("a.npy", lambda: npy(objects(1, "a", np.ones(3)))), read_npy, share=2),
    Reader("SMPL pickle", _body, _read_body),
    Reader("DeciWatch", _deciwatch, _read_deciwatch, in_archive, share=0.5),
    Reader("h5", written(_TAKE, _positions), _read_take, _hostile_hdf5),
    Reader("h5 cameras", written("cameras.h5", _cameras), _read_cameras, share=0.2),
    Reader("text", written("a.txt", _text), _read_text, share=2),
    Reader("text archive", written("h3.6m.zip", _texts), _read_texts, in_archive, share=0.1),
    Reader("YAML", _yaml, _of(config.Preset), more=_bombs, share=0.5),
    _configs("YAML table", "tables", config.TableConfig, share=0.2),
    _configs("YAML dataset", "configs/datasets", config.DatasetConfig, share=0.4),
    _configs("YAML method", "configs/methods", config.MethodConfig, share=0.2),
    Reader("weights", _weights, _read_weights, in_header, share=2),
    Reader("safetensors", _weights, checkpoints.read, in_header, share=2),
    Reader("torch", written("a.pth", _torch(new=True)), checkpoints.read, in_archive),
    Reader("torch, old", written("a.pth", _torch(new=False)), checkpoints.read),
    Reader("result", written("a.json", _result), _read_result, in_json, _others, share=2),
    Reader("plan", _plan, lambda file: plans.load(file).names, in_json, share=0.3),
    Reader("time", _timing, _read_timings, in_json),
    Reader("trial", _trial, _read_trial, in_json),
    Reader("study", _study, _read_study, in_json, share=0.5),
    Reader("tuned preset", written("ridge.yaml", _tuned), load_tuned, share=0.3),
    Reader("unfinished training", _unfinished, _read_unfinished, in_header, share=2),
    Reader("tracking queue", _journal, _read_journal, refuses=False),
    Reader("prepared", _prepared, lambda file: store.load(file.parent), in_json),
    Reader("prepared array", _prepared_array, lambda file: store.load(file.parent)),
    Reader("table of results", _table, _draw, in_json, share=0.2),
)
BY_NAME = {reader.name: reader for reader in READERS}
