"""The lifter: what it computes, that both sides are alike to it, and that training can stop."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench import lifter
from bench.contracts import BadInput
from bench.data import h36m
from bench.data.placing import Scene
from bench.data.prepare import lifter_config
from bench.data.skeletons import H36M_17
from bench.lifter import Lifter, LifterConfig, lift, train

TOY = LifterConfig(width=32, blocks=1, dropout=0.1, batch=32, epochs=4, lr=3e-3)


def toy_data(frames: int = 256, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Whole pixels and poses in mm: five joint angles, so to speak, decide about both."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(5, 16, 3))
    poses = np.einsum("na,ajd->njd", rng.normal(size=(frames, 5)), mixing) * 100
    return (500 + poses[..., :2] / 4).round().astype(np.float32), poses.astype(np.float32)


def scene_of(pixels: np.ndarray, poses: np.ndarray) -> Scene:
    """Detections and poses (N, 16, 3) in front of one camera, five metres away."""
    frames = len(pixels)
    lens = [1145.0, 1145.0, 512.0, 512.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    return Scene(
        pixels=torch.from_numpy(pixels),
        poses=torch.from_numpy(np.pad(poses, ((0, 0), (1, 0), (0, 0)))),
        hips=torch.tensor([[0.0, 0.0, 5000.0]]).expand(frames, 3),
        camera=torch.zeros(frames, dtype=torch.long),
        lenses=torch.tensor([lens]),
        up=torch.tensor([[0.0, -1.0, 0.0]]),
        floor=torch.tensor([[0.0, 900.0, 5000.0]]),
    )


def toy_scene(frames: int = 256, seed: int = 0) -> Scene:
    return scene_of(*toy_data(frames, seed))


def error_mm(model: Lifter, pixels: np.ndarray, poses: np.ndarray) -> float:
    return float(np.linalg.norm(lift(model, pixels) * 1000 - poses, axis=-1).mean())


def same(one: Lifter, other: Lifter) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def other_side(names: tuple[str, ...]) -> list[int]:
    """For each joint the number of the one with the same name on the other side."""

    def mirrored(name: str) -> str:
        twin = {"l": "r", "r": "l"}.get(name[0], "") + name[1:]
        return twin if twin in names else name

    return [names.index(mirrored(name)) for name in names]


@pytest.fixture(scope="module")
def trained() -> Lifter:
    return train(TOY, toy_scene())


def test_shapes_and_units(trained):
    pixels, _ = toy_data(7)
    with torch.no_grad():
        poses = trained(torch.from_numpy(pixels))
    assert poses.shape == (7, 16, 3)
    lifted = lift(trained, pixels)
    assert lifted.shape == (7, 16, 3)
    assert lifted.dtype == np.float32
    other = trained(lifter._mirror(torch.from_numpy(pixels), lifter._MIRROR_INPUT, 1000.0))
    both = (poses + lifter._mirror(other, lifter._MIRROR_OUTPUT, 0.0)) / 2
    np.testing.assert_allclose(lifted * 1000, both.detach().numpy(), rtol=0, atol=1e-3)


def test_a_frame_is_lifted_alone_and_without_dropout(trained):
    pixels, _ = toy_data(20)
    trained.train()
    together = lift(trained, pixels)
    assert not trained.training
    alone = np.concatenate([lift(trained, pixels[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_without_mirror_a_lift_is_one_pass():
    model = train(replace(TOY, mirror=False, epochs=1), toy_scene())
    pixels, _ = toy_data(7)
    with torch.no_grad():
        assert np.array_equal(lift(model, pixels), model(torch.from_numpy(pixels)).numpy() / 1000)


def test_no_unit_uses_weights_beyond_norm_1():
    # Weights as they are used: the answers to unit vectors, less the answer to none.
    layer = lifter._ClippedLinear(6, 5)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(5, 6) * torch.tensor([[0.01], [0.1], [1], [10], [100]]))
        layer.bias.uniform_()
        used = (layer(torch.eye(6)) - layer(torch.zeros(1, 6))).T
    stored = layer.weight.detach()
    assert (used.norm(dim=1) <= 1 + 1e-5).all()
    small = stored.norm(dim=1) < 1
    assert small.any()
    assert not small.all()
    torch.testing.assert_close(used[small], stored[small])
    clipped = stored / stored.norm(dim=1, keepdim=True)
    torch.testing.assert_close(used[~small], clipped[~small])


def test_the_network_is_the_published_one():
    config = lifter_config("paper")
    model = Lifter(config)
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    shapes = [tuple(m.weight.shape) for m in linear]
    width = config.width
    assert shapes == [(width, 32), *[(width, width)] * 2 * config.blocks, (48, width)]
    assert (width, config.blocks) == (1024, 2)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert len(norms) == 1 + 2 * config.blocks
    assert all(isinstance(m, lifter._ClippedLinear) for m in linear)


def test_a_block_adds_to_what_enters_it():
    model = Lifter(TOY).eval()
    pixels = torch.from_numpy(toy_data(5)[0])
    with torch.no_grad():
        for layer in model.blocks[0]:
            layer.norm.weight.zero_()
        bare = model.score(pixels)
        assert torch.equal(bare, model.last(model.first(pixels.flatten(1))))


def test_inputs_and_outputs_are_standardised():
    pixels, poses = toy_data()
    pixels[:, 3] = 700  # a joint that never moves must not divide by nothing
    model = Lifter(TOY)
    model.standardise(torch.from_numpy(pixels), torch.from_numpy(poses))
    np.testing.assert_allclose(model.input_mean, pixels.reshape(-1, 32).mean(0), rtol=1e-5)
    deviation = pixels.reshape(-1, 32).std(0, ddof=1)
    np.testing.assert_allclose(model.input_std, deviation.clip(1e-6), rtol=1e-4)
    np.testing.assert_allclose(model.output_std, poses.reshape(-1, 48).std(0, ddof=1), rtol=1e-4)
    with torch.no_grad():
        for weights in model.last.parameters():
            weights.zero_()
        mean = model.eval()(torch.from_numpy(pixels))
    np.testing.assert_allclose(mean[0], poses.mean(0), rtol=0, atol=1e-2)
    assert torch.isfinite(mean).all()


@pytest.mark.parametrize(
    ("order", "names"),
    [(lifter._MIRROR_INPUT, h36m._DETECTOR), (lifter._MIRROR_OUTPUT, H36M_17.joints[1:])],
    ids=["input", "output"],
)
def test_mirrored_orders_exchange_left_and_right_and_nothing_else(order, names):
    assert list(order) == other_side(names)
    assert [order[order[joint]] for joint in range(16)] == list(range(16))
    assert sum(joint != twin for joint, twin in enumerate(order)) == 12


def test_lifting_a_mirror_image_gives_the_mirrored_pose(trained):
    pixels, _ = toy_data(30, seed=5)
    mirrored = pixels[:, other_side(h36m._DETECTOR)]
    mirrored[..., 0] = 1000 - mirrored[..., 0]
    expected = lift(trained, pixels)[:, other_side(H36M_17.joints[1:])] * [-1, 1, 1]
    np.testing.assert_allclose(lift(trained, mirrored), expected, rtol=0, atol=1e-6)


def test_training_learns():
    pixels, poses = toy_data(1024)
    config = replace(TOY, width=64, dropout=0.0, epochs=20, mirror=False)
    learned = error_mm(train(config, scene_of(pixels, poses)), *toy_data(200, seed=1))
    mean_pose = float(np.linalg.norm(poses - poses.mean(0), axis=-1).mean())
    assert learned < mean_pose / 5


def test_the_same_seed_gives_the_same_lifter_and_another_one_another(trained):
    assert same(trained, train(TOY, toy_scene()))
    assert not same(trained, train(replace(TOY, seed=1), toy_scene()))


def test_every_epoch_sees_one_frame_of_each_group_of_neighbours(monkeypatch):
    pixels, poses = toy_data(90)
    pixels[:, 0, 0] = np.arange(90)
    seen: list[float] = []
    score = Lifter.score

    def spy(self, batch):
        seen.extend(batch[:, 0, 0].round().tolist())
        return score(self, batch)

    monkeypatch.setattr(Lifter, "score", spy)
    train(replace(TOY, stride=10, batch=3, epochs=6, mirror=False), scene_of(pixels, poses))
    epochs = np.array(seen, int).reshape(6, 9)
    assert np.sort(epochs // 10, axis=1).tolist() == [list(range(9))] * 6
    assert len(set(map(tuple, np.sort(epochs, axis=1).tolist()))) == 6
    assert len({tuple(row) for row in (epochs // 10).tolist()}) == 6


def test_the_rate_rises_again_after_a_first_cycle_like_any_other(trained, tmp_path):
    twice = replace(TOY, again=2)
    checkpoint = tmp_path / "fcn.safetensors"
    states = []
    train(
        twice,
        toy_scene(),
        checkpoint=checkpoint,
        progress=lambda *_: states.append(load_file(checkpoint)),
    )
    first = trained.state_dict()
    assert all(torch.equal(states[3][f"model.{key}"], first[key]) for key in first)
    rates = [state["lr"].item() for state in states]
    assert rates[3] == pytest.approx(TOY.lr * TOY.final)
    assert rates[4] == pytest.approx(TOY.lr * TOY.final**0.5)
    assert rates[5] == pytest.approx(TOY.lr * TOY.final)


@pytest.mark.parametrize("epochs", [4, 5])
def test_an_interrupted_second_cycle_goes_on_to_the_same_numbers(tmp_path, epochs):
    twice, checkpoint = replace(TOY, again=2), tmp_path / "fcn.safetensors"

    def interrupt(done, _all, _text):
        if done == epochs:
            raise _Interrupted

    with pytest.raises(_Interrupted):
        train(twice, toy_scene(), checkpoint=checkpoint, progress=interrupt)
    assert same(train(twice, toy_scene(), checkpoint=checkpoint), train(twice, toy_scene()))


def test_half_of_every_batch_is_mirrored(monkeypatch):
    pixels, poses = toy_data(40)
    pixels[:, 0, 0], pixels[:, 5, 0] = 10, 20  # right and left foot
    seen = []
    score = Lifter.score

    def spy(self, batch):
        seen.append(batch[:, 0, 0].round().tolist())
        return score(self, batch)

    monkeypatch.setattr(Lifter, "score", spy)
    train(replace(TOY, batch=20, epochs=1), scene_of(pixels, poses))
    assert seen == [[10.0] * 10 + [980.0] * 10] * 2


def test_the_rate_falls_to_its_final_share_and_progress_is_told(tmp_path):
    said = []
    train(
        TOY,
        toy_scene(),
        checkpoint=tmp_path / "fcn.safetensors",
        progress=lambda *words: said.append(words),
    )
    assert [words[:2] for words in said] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(words[2].startswith("loss ") and "min left" in words[2] for words in said)
    state = load_file(tmp_path / "fcn.safetensors")
    assert state["lr"].item() == pytest.approx(TOY.lr * TOY.final)
    assert not list(tmp_path.glob("*.tmp"))


class _Interrupted(Exception):
    pass


@pytest.mark.parametrize("epochs", [1, 3])
def test_an_interrupted_training_goes_on_to_the_same_numbers(tmp_path, trained, epochs):
    checkpoint = tmp_path / "fcn.safetensors"

    def interrupt(done, _all, _text):
        if done == epochs:
            raise _Interrupted

    with pytest.raises(_Interrupted):
        train(TOY, toy_scene(), checkpoint=checkpoint, progress=interrupt)
    torch.rand(17)  # what others draw in between must not matter
    went_on = []
    model = train(
        TOY, toy_scene(), checkpoint=checkpoint, progress=lambda done, *_: went_on.append(done)
    )
    assert went_on == list(range(epochs + 1, 5))
    assert same(model, trained)
    # A complete one has nothing left to do.
    went_on.clear()
    assert same(train(TOY, toy_scene(), checkpoint=checkpoint), trained)
    assert not went_on


@pytest.mark.parametrize("damage", ["cut", "empty", "words", "foreign", "other config"])
def test_a_checkpoint_that_is_none_is_ignored(tmp_path, trained, damage):
    checkpoint = tmp_path / "fcn.safetensors"
    train(TOY, toy_scene(), checkpoint=checkpoint)
    if damage == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    elif damage == "empty":
        checkpoint.write_bytes(b"")
    elif damage == "words":
        checkpoint.write_text("not a checkpoint")
    elif damage == "foreign":
        save_file({"weight": torch.ones(3)}, checkpoint)
    else:
        train(replace(TOY, lr=TOY.lr * 2), toy_scene(), checkpoint=checkpoint)
    done = []
    model = train(
        TOY,
        toy_scene(),
        checkpoint=checkpoint,
        progress=lambda number, *_: done.append(number),
    )
    assert done == [1, 2, 3, 4]
    assert same(model, trained)


def test_every_setting_is_part_of_what_a_checkpoint_is_known_by():
    digests = {tuple(lifter._digest(TOY).tolist())}
    for name, value in asdict(TOY).items():
        other = (not value) if isinstance(value, bool) else value + 1
        digests.add(tuple(lifter._digest(replace(TOY, **{name: other})).tolist()))
    assert len(digests) == 1 + len(asdict(TOY))


def test_divergence_is_told():
    with pytest.raises(BadInput, match=r"the lifter's training diverged; found loss (nan|inf)"):
        train(replace(TOY, lr=1e30), toy_scene())


def test_too_few_frames_are_told():
    with pytest.raises(BadInput, match="too few frames to train a lifter; found 19"):
        train(replace(TOY, stride=10), toy_scene(19))


@pytest.mark.parametrize("budget", ["smoke", "quick", "paper"])
def test_every_budget_has_a_lifter(budget):
    assert lifter_config(budget).epochs >= 1


def test_an_unknown_budget_is_told():
    with pytest.raises(BadInput, match=r"unknown budget 'papper'.*paper"):
        lifter_config("papper")


@pytest.mark.cuda
def test_training_and_lifting_on_cuda(tmp_path):
    checkpoint = tmp_path / "fcn.safetensors"
    config = replace(TOY, epochs=2)
    model = train(config, toy_scene(), device="cuda", checkpoint=checkpoint)
    assert model.last.weight.is_cuda
    pixels, poses = toy_data(200, seed=1)
    on_cuda = lift(model, pixels, "cuda")
    assert np.isfinite(on_cuda).all()
    # What is complete is taken from its checkpoint, by the processor as well.
    here = train(config, toy_scene(), checkpoint=checkpoint)
    np.testing.assert_allclose(lift(here, pixels), on_cuda, rtol=0, atol=1e-3)
    assert error_mm(here, pixels, poses) < np.linalg.norm(poses, axis=-1).mean()


@pytest.mark.parametrize("spoil", ["epoch", "lr", "adam.0.exp_avg", "model.output_mean", "cut"])
def test_a_damaged_checkpoint_is_no_checkpoint(tmp_path, spoil):
    checkpoint = tmp_path / "fcn.safetensors"
    whole = train(TOY, toy_scene(), checkpoint=checkpoint)
    if spoil == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
    else:
        state = load_file(checkpoint)
        state[spoil] = torch.zeros(2, 3)
        save_file(state, checkpoint)
    assert same(train(TOY, toy_scene(), checkpoint=checkpoint), whole)
