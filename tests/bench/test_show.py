"""Pictures: where bodies and bones are drawn, what the numbers say, which files come out."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from bench.contracts import BadInput
from bench.data.figures import H36M_32
from bench.data.skeletons import CMU_25, H36M_17, H36M_22
from bench.show import Excerpt, Forecast, animation, camera, filmstrip, frame_error, sides, write

# A standing body: every joint at rest, in metres.
REST = (H36M_32.pose(np.zeros((1, 99)))[0, list(H36M_32.used)] / 1000).astype(np.float32)
NAMES = H36M_22.joints


def excerpt(future: int = 10, history: int = 5, poses=None) -> Excerpt:
    truth = np.repeat(REST[None], history + future, axis=0) if poses is None else poses
    return Excerpt("a body at rest", H36M_22, 25.0, truth[:history], truth[history:])


def said(label: str = "ours", future: int = 10, shift=(0.016, 0, 0)) -> Forecast:
    poses = np.repeat(REST[None] + np.float32(shift), future, axis=0)
    marks = [frames for frames in (2, 4, 8, 10, 14, 18, 22, 25) if frames <= future]
    return Forecast(label, poses, {frames: poses[frames - 1] for frames in marks})


def drawn(figure: Figure) -> dict[str, LineCollection]:
    return {
        str(lines.get_gid()): lines
        for lines in figure.axes[0].collections
        if isinstance(lines, LineCollection)
    }


def texts(figure: Figure, gid: str) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_gid() == gid]


def picture(poses: np.ndarray, view: np.ndarray) -> np.ndarray:
    return poses @ view.T


def test_a_person_stands_upright_and_faces_the_way_of_reading() -> None:
    view = camera(REST[None], H36M_22)
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) == pytest.approx(1)
    seen = dict(zip(NAMES, picture(REST, view), strict=True))
    assert seen["headtop"][1] > seen["neck"][1] > 0 > seen["lknee"][1] > seen["lankle"][1]
    # Toes point to the right and to the viewer, whom the right side is nearer to.
    for side in "lr":
        step = seen[f"{side}toe"] - seen[f"{side}ankle"]
        assert step[0] > 0
        assert step[2] > 0
    assert seen["rknee"][2] > seen["lknee"][2]
    # Three quarters: both the front and the side are seen.
    across = seen["lknee"] - seen["rknee"]
    assert across[0] > 0.3 * np.linalg.norm(across)


@pytest.mark.parametrize(
    "turn",
    [
        np.diag(signs)[list(order)]
        for order in permutations(range(3))
        for signs in product((1.0, -1.0), repeat=3)
        if np.linalg.det(np.diag(signs)[list(order)]) > 0
    ],
)
def test_it_does_not_matter_which_axis_is_up(turn: np.ndarray) -> None:
    wanted = picture(REST, camera(REST[None], H36M_22))
    turned = REST @ turn.T
    np.testing.assert_allclose(picture(turned, camera(turned[None], H36M_22)), wanted, atol=1e-6)


def test_someone_who_turned_about_the_vertical_is_seen_from_the_same_side() -> None:
    wanted = picture(REST, camera(REST[None], H36M_22))
    cos, sin = np.cos(2.0), np.sin(2.0)
    turned = REST @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T
    np.testing.assert_allclose(picture(turned, camera(turned[None], H36M_22)), wanted, atol=1e-6)


@pytest.mark.parametrize("skeleton", [H36M_22, CMU_25])
def test_sides_come_from_names(skeleton) -> None:
    found = dict(zip(skeleton.joints, sides(skeleton), strict=True))
    assert found["lknee"] == "left"
    assert found["rwrist"] == "right"
    assert found["neck"] == found["spine"] == "middle"
    assert sides(skeleton).count("left") == sides(skeleton).count("right")


def test_an_error_is_the_mean_over_the_joints_of_the_protocol() -> None:
    # 28 of the 32 joints are 16 mm away, 4 never move: 16 * 28 / 32.
    assert frame_error(REST + np.float32([0.016, 0, 0]), REST, H36M_22) == pytest.approx(14.0)
    # The neck counts three times: 16 * 3 / 32.
    one = REST.copy()
    one[NAMES.index("neck")] += np.float32([0, 0, 0.016])
    assert frame_error(one, REST, H36M_22) == pytest.approx(1.5)


def test_a_strip_has_the_truth_and_a_row_for_each_method() -> None:
    figure = filmstrip(excerpt(), [said(), said("other", shift=(0, 0.032, 0))])
    found = drawn(figure)
    wanted = {f"truth 0 {column}" for column in range(6)}
    wanted |= {f"{what} {row} {column}" for what in ("truth", "prediction") for row in (1, 2)
               for column in (2, 3, 4, 5)}  # fmt: skip
    assert set(found) == wanted
    minus = "\N{MINUS SIGN}"
    times = [f"{minus}160 ms", "0 ms", "80 ms", "160 ms", "320 ms", "400 ms"]
    assert texts(figure, "time") == times
    assert texts(figure, "method") == ["ours", "other"]
    assert texts(figure, "error") == ["14.0"] * 4 + ["28.0"] * 4


def test_every_bone_is_drawn_at_one_scale() -> None:
    found = drawn(filmstrip(excerpt(), [said(shift=(0, 0, 0))]))
    view = camera(REST[None], H36M_22)
    seen = np.concatenate([REST, np.zeros((1, 3))]) @ view[:2].T
    bones = seen - seen[[*H36M_22.parents, -1]]
    wanted = np.sort(np.linalg.norm(bones[:-1], axis=1))
    scales = []
    for lines in found.values():
        segments = np.array(lines.get_segments())
        assert len(segments) == len(NAMES)
        lengths = np.sort(np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1))
        scales.append((lengths / wanted).mean())
        np.testing.assert_allclose(lengths, wanted * scales[0], rtol=1e-5)
    np.testing.assert_allclose(scales, scales[0])


def test_a_prediction_lies_where_the_truth_does() -> None:
    found = drawn(filmstrip(excerpt(), [said(shift=(0, 0, 0))]))
    for column in range(2, 6):
        truth, prediction = found[f"truth 1 {column}"], found[f"prediction 1 {column}"]
        np.testing.assert_allclose(truth.get_segments(), prediction.get_segments())
        assert truth.get_linewidth()[0] > prediction.get_linewidth()[0]
        above = np.array(found[f"truth 0 {column}"].get_segments())
        below = np.array(truth.get_segments())
        np.testing.assert_allclose((above - below)[..., 0], 0, atol=1e-12)
        assert len({round(step, 9) for step in (above - below)[..., 1].ravel()}) == 1


def test_left_and_right_have_their_colours() -> None:
    lines = drawn(filmstrip(excerpt(), [said()]))["prediction 1 2"]
    colours = [tuple(np.round(colour, 3)) for colour in lines.get_colors()]
    counts = sorted(colours.count(colour) for colour in set(colours))
    assert counts == [4, 9, 9]


def test_nothing_of_the_truth_is_cut_off() -> None:
    figure = filmstrip(excerpt(), [said(shift=(0.05, -0.05, 0.05))])
    width, height = figure.get_size_inches()
    for name, lines in drawn(figure).items():
        points = np.array(lines.get_segments()).reshape(-1, 2)
        if name.startswith("truth"):
            box = lines.get_clip_box().transformed(figure.axes[0].transData.inverted())
            assert (points >= box.min).all()
            assert (points <= box.max).all()
        assert (points > 0).all()
        assert (points < (width, height)).all()


@pytest.mark.parametrize(("future", "inches"), [(10, 3.35), (25, 7.0)])
def test_a_strip_fits_a_column_or_a_page(future: int, inches: float) -> None:
    figure = filmstrip(excerpt(future), [said(future=future)])
    assert figure.get_size_inches()[0] <= inches + 1e-9
    assert figure.get_size_inches()[0] > 0.9 * inches
    assert all(text.get_fontsize() >= 5 for text in figure.axes[0].texts)


def test_a_method_that_ends_earlier_leaves_the_truth_alone() -> None:
    figure = filmstrip(excerpt(25), [said(future=10), said("far", future=25)])
    found = drawn(figure)
    assert "prediction 1 5" in found
    assert "prediction 1 6" not in found
    assert "truth 1 6" in found
    assert texts(figure, "error") == ["14.0"] * 4 + ["-"] * 4 + ["14.0"] * 8


def test_a_prediction_that_flies_away_does_not_shrink_the_truth() -> None:
    near, far = (drawn(filmstrip(excerpt(), [said(shift=(x, 0, 0))])) for x in (0.0, 40.0))
    heights = [np.ptp(np.array(found["truth 0 2"].get_segments())[..., 1]) for found in (near, far)]
    assert heights[1] > 0.7 * heights[0]


def test_a_prediction_that_is_no_number_says_so() -> None:
    figure = filmstrip(excerpt(), [said(shift=(np.nan, 0, 0)), said("sound")])
    assert texts(figure, "error") == ["nan"] * 4 + ["14.0"] * 4


def test_a_short_history_has_one_column() -> None:
    assert texts(filmstrip(excerpt(history=1), [said()]), "time")[:2] == ["0 ms", "80 ms"]


def test_a_long_name_is_broken_where_it_may_be() -> None:
    label = "siMLPe, published weights (a_rather_long_name_of_a_file_40000.pth)"
    figure = filmstrip(excerpt(), [said(label)])
    (text,) = texts(figure, "method")
    assert text.replace("\n", " ") == label
    (box,) = [t.get_window_extent() for t in figure.axes[0].texts if t.get_gid() == "method"]
    line = figure.axes[0].lines[0].get_xdata()[0]
    assert box.x1 / figure.dpi < line


@pytest.mark.parametrize("future", [10, 25])
def test_every_word_is_on_the_picture(future: int) -> None:
    title = "STAND-IN, synthetic motion: Human3.6M / motion capture, S5/walking_1 from frame 166 on"
    what = replace(excerpt(future), title=title)
    figure = filmstrip(what, [said(future=future)])
    width, height = figure.get_size_inches() * figure.dpi
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= width, text.get_text()
        assert 0 <= box.y0 < box.y1 <= height, text.get_text()


def test_an_animation_of_one_method_has_room_for_its_words() -> None:
    (image, *_) = animation(excerpt(future=2, history=1), [said(future=2)])
    assert image.width >= 3.3 * 110
    rows = np.asarray(image.convert("L"))
    assert (rows[:, -3:] == 255).all()


def test_a_skeleton_without_bones_is_refused() -> None:
    poses = np.ones((4, 17, 3), np.float32)
    bare = Excerpt("x", H36M_17, 25.0, poses[:2], poses[2:])
    with pytest.raises(BadInput, match="h36m-17 has no bones"):
        filmstrip(bare, [])


def test_an_animation_shows_history_then_future() -> None:
    images = animation(excerpt(future=4, history=3), [said(future=4), said("short", future=2)])
    assert len(images) == 7
    assert len({image.size for image in images}) == 1
    colourful = [np.ptp(np.asarray(image, np.int16), axis=2).max(1) for image in images]
    # Rows above the legend: colours only once the future has begun.
    above = [rows[: int(0.85 * len(rows))].max() for rows in colourful]
    assert all(value < 10 for value in above[:3])
    assert all(value > 100 for value in above[3:])


def test_at_most_a_second_of_history_is_animated() -> None:
    assert len(animation(excerpt(future=2, history=40), [said(future=2)])) == 27


def test_the_files_are_what_they_are_called(tmp_path: Path) -> None:
    paths = write(excerpt(future=4, history=3), [said(future=4)], tmp_path / "new", "clip")
    assert [path.name for path in paths] == ["clip.pdf", "clip.svg", "clip.png", "clip.gif"]
    pdf, svg, png, gif = paths
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    # The font is in the file, and its letters are no drawings.
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    with Image.open(png) as image:
        image.verify()
    with Image.open(gif) as image:
        assert image.n_frames == 7
        assert image.info["loop"] == 0
        durations = []
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(image.info["duration"])
    # 25 frames per second, and a rest before it begins anew.
    assert durations == [40] * 6 + [1000]
    again = write(excerpt(future=4, history=3), [said(future=4)], tmp_path / "again", "clip")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="the picture cannot be written; found"):
        write(excerpt(future=2, history=1), [said(future=2)], tmp_path / "file", "clip")
