"""The journal: what waits, for which store, and what many writers make of it."""

from multiprocessing import get_context
from pathlib import Path

from bench.tracking.journal import Journal, journals, store_name, table_files


def read(folder: Path) -> Journal:
    (journal,) = journals(folder)
    return journal


def test_what_is_wanted_waits_until_the_store_has_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "table3")
    assert journal.want("cell a", "1")
    assert not journal.want("cell a", "1")
    assert journal.want("table table3", "2")
    assert read(tmp_path).waiting("s") == ["cell a", "table table3"]
    journal.stored("s", "cell a", "1")
    assert read(tmp_path).waiting("s") == ["table table3"]
    assert read(tmp_path).waiting("other") == ["cell a", "table table3"]
    assert read(tmp_path).entries() == ["cell a", "table table3"]


def test_what_changes_waits_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "table3")
    journal.want("cell a", "1")
    journal.want("cell a", "2")
    journal.stored("s", "cell a", "1")
    assert read(tmp_path).waiting("s") == ["cell a"]
    journal.stored("s", "cell a", "2")
    assert read(tmp_path).waiting("s") == []
    journal.forget()
    assert read(tmp_path).waiting("s") == ["cell a"]


def test_a_torn_line_loses_nothing_else(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "table3")
    journal.want("cell a", "1")
    path = tmp_path / "mlflow-queue" / "table3.log"
    path.write_bytes(path.read_bytes() + b"nonsense\n\xff\xff\nwanted 1 cell b")
    assert read(tmp_path).entries() == ["cell a"]


def test_what_others_append_is_read_later(tmp_path: Path) -> None:
    first, second = Journal(tmp_path, "table3"), Journal(tmp_path, "table3")
    first.want("cell a", "1")
    second.update()
    assert second.waiting("s") == ["cell a"]
    first.want("cell b", "1")
    second.update()
    assert second.waiting("s") == ["cell a", "cell b"]


def append(folder: Path, name: str) -> None:
    journal = Journal(folder, "table3")
    for number in range(200):
        journal.want(f"cell {name}{number}", "1")


def test_several_processes_append_at_once(tmp_path: Path) -> None:
    context = get_context("fork")
    processes = [context.Process(target=append, args=(tmp_path, name)) for name in "abcd"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    expected = {f"cell {name}{number}" for name in "abcd" for number in range(200)}
    assert set(read(tmp_path).entries()) == expected


def test_a_store_inside_the_folder_keeps_its_name_when_the_folder_moves(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert store_name(f"sqlite:///{here}/mlflow.db", here) == store_name(
        f"sqlite:///{there}/mlflow.db", there
    )
    assert store_name("http://a", here) != store_name("http://b", here)


def test_a_table_has_its_files_and_figures_alone(tmp_path: Path) -> None:
    for name in ("table3.tex", "table3.png", "table31.tex", "table3.json"):
        (tmp_path / name).touch()
    assert [path.name for path in table_files(tmp_path, "table3")] == ["table3.png", "table3.tex"]


def test_no_name_of_a_table_leads_out_of_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "out"
    inside.mkdir()
    for place in (tmp_path, inside):
        (place / "notes.md").touch()
    assert table_files(inside, "notes") == [inside / "notes.md"]
    for name in ("../notes", str(tmp_path / "notes"), "a/../../notes"):
        assert table_files(inside, name) == []
