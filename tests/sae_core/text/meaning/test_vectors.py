"""Vectors: written and read back, and searched like brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sae_core.meaning.vectors import MOST_BY_SIGN, open_vectors, save_vectors


def unit(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    made = rng.normal(size=(n, d)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "d"), [(50, 384), (3000, 96), (3 * MOST_BY_SIGN, 384), (500, 20)])
def test_the_nearest_are_those_of_brute_force(tmp_path: Path, n: int, d: int) -> None:
    rng = np.random.default_rng(n)
    centres = unit(rng, 40, d)
    vectors = centres[rng.integers(0, 40, n)] + 0.6 * unit(rng, n, d)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    save_vectors(tmp_path / "v", range(n), [f"text {i}" for i in range(n)], vectors, {"a": 1})
    saved = open_vectors(tmp_path / "v")
    assert saved is not None
    assert saved.about == {"a": 1}
    same = 0
    for query in unit(rng, 10, d):
        hits = saved.nearest(query, 10)
        cosines = vectors @ query
        assert [hit.cosine for hit in hits] == pytest.approx([cosines[hit.row] for hit in hits])
        assert [hit.cosine for hit in hits] == sorted((hit.cosine for hit in hits), reverse=True)
        same += len({hit.row for hit in hits} & set(np.argsort(-cosines)[:10].tolist()))
    assert same >= 95


def test_of_equal_vectors_the_first_are_found(tmp_path: Path) -> None:
    n = MOST_BY_SIGN + 50
    vectors = np.repeat(np.eye(1, 64, dtype=np.float32), n, axis=0)
    save_vectors(tmp_path / "v", range(n), [""] * n, vectors, {})
    saved = open_vectors(tmp_path / "v")
    assert saved is not None
    hits = saved.nearest(vectors[0], 3)
    assert [hit.cosine for hit in hits] == [1.0, 1.0, 1.0]
    assert all(hit.row < MOST_BY_SIGN for hit in hits)


def test_what_is_not_whole_is_nothing(tmp_path: Path) -> None:
    assert open_vectors(tmp_path / "nothing") is None
    save_vectors(tmp_path / "v", [1, 2], ["a", "b"], np.eye(2, 16, dtype=np.float32), {})
    np.save(tmp_path / "v" / "texts.npy", np.zeros(1, np.uint8))
    assert open_vectors(tmp_path / "v") is None
    save_vectors(tmp_path / "v", [3], ["c"], np.eye(1, 16, dtype=np.float32), {})
    again = open_vectors(tmp_path / "v")
    assert again is not None
    assert list(again.texts) == ["c"]


def test_what_is_replaced_while_it_is_opened_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, load = tmp_path / "vectors", np.load

    def save(text: str, place: int) -> None:
        save_vectors(folder, [place], [text], np.eye(4, dtype=np.float32)[[place]], {})

    def replacing(path: Path, **options: str) -> np.ndarray:
        if path.name == "codes.npy":
            monkeypatch.setattr(np, "load", load)
            save("new", 2)
        return load(path, **options)

    save("old", 1)
    monkeypatch.setattr(np, "load", replacing)
    opened = open_vectors(folder)
    assert opened is not None
    assert (opened.indices[0], opened.texts[0], opened.vectors[0].argmax()) == (2, "new", 2)
