"""The gallery's scripts run: each trains networks of few epochs here, and ends in a page that shows what it says."""

import runpy
from pathlib import Path

import pytest

GALLERY = Path(__file__).parent.parent / "gallery"
PAGES = {
    "align_copy_or_training": ("align.html", "a shuffled fine-tune"),
    "merge_three_trainings": ("merge.html", "by activations, mended"),
    "family_tree": ("families.html", "half.safetensors"),
    "path_layer_by_layer": ("layers.html", "Layer by layer"),
    "two_digit_nets": ("path.html", "Between two networks"),
}


@pytest.mark.parametrize("script", PAGES)
def test_a_script_ends_in_its_page(script, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(GALLERY)
    runpy.run_path(str(GALLERY / f"{script}.py"))["main"](tmp_path, epochs=2)
    name, words = PAGES[script]
    assert f"drawn in {tmp_path / name}" in capsys.readouterr().out
    assert words in (tmp_path / name).read_text(encoding="utf-8")


def test_a_shuffled_copy_is_told_from_a_training_of_its_own(tmp_path, monkeypatch, capsys):
    """What the script on copies claims in its first lines."""
    monkeypatch.syspath_prepend(GALLERY)
    runpy.run_path(str(GALLERY / "align_copy_or_training.py"))["main"](tmp_path, epochs=2)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("a ")]
    near = [float(line.rpartition(", ")[2].split()[0]) for line in said]
    assert near[0] == 0
    assert 0 < near[1] < 0.5 < near[2]
