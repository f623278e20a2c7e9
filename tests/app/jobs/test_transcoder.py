"""A transcoder's whole life in the product: added, harvested, run by the worker, taken out."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from app.cli.main import run
from app.exchange.saelens import export_weights
from app.jobs.harvest.add import Addition, harvest_addition
from app.jobs.harvest.fit_warnings import no_remedy_sentence
from app.jobs.harvest.harvest import harvest
from app.jobs.source import SourceSpec
from app.settings import Settings
from app.store.database import connect
from app.store.store import Store, open_store
from app.store.types.catalogue import DictionaryView
from app.store.upkeep.bundle import export_bundle, import_bundle
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.process.jobs.registry import TorchWorkbench
from app.worker.process.limits import Limits
from app.worker.protocol.events import ContextDone, FiringsRead, Generated
from app.worker.protocol.requests import (
    AblateRequest,
    ReadRequest,
    SteerEdit,
    SteerMode,
    SteerRequest,
)
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.checkpoint import load_dictionary, neuron_basis, save_dictionary
from sae_core.dictionaries.dictionary import Output
from sae_core.errors import CheckpointError, FeaturescopeError, HookPointError
from sae_core.interventions.ablation import ablate
from sae_core.language_model.model import load_model
from sae_core.text.reading import TextReading
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

READS, WRITES = "blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out"
PROMPT = "fox jumps over dog"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model, texts, a transcoder that explains the MLP well, and the same at the wrong layer."""
    folder = tmp_path_factory.mktemp("transcoder")
    save_folder(tiny_gpt2(), folder / "tiny")
    (folder / "texts").mkdir()
    for n in range(30):
        (folder / "texts" / f"{n:02}.txt").write_text(f"def fox_{n}(dog): return {n} jumps\n" * 3)
    model = load_model(folder / "tiny")
    tokens = torch.randint(1, 280, (40, 40), generator=torch.Generator().manual_seed(0))
    x = model.capture(tokens, model.hook_point(READS)).flatten(0, 1)
    y = model.capture(tokens, model.hook_point(WRITES)).flatten(0, 1)
    made = StandardDictionary(READS, 32, 96, False, Output(WRITES, 32, skip=True))
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        made.W_enc.copy_(torch.randn(32, 96, generator=draw) / 4)
        made.b_enc.fill_(-0.5)
        columns = torch.cat([made.encode(x), x, torch.ones(len(x), 1)], dim=1)
        solution = torch.linalg.lstsq(columns, y).solution
        made.W_dec.copy_(solution[:96])
        made.W_skip.copy_(solution[96:-1].T)
        made.b_dec.copy_(solution[-1])
    save_dictionary(made.requires_grad_(False), folder / "good")
    made.move("blocks.2.mlp.hook_in", "blocks.2.hook_mlp_out")
    save_dictionary(made, folder / "elsewhere")
    with torch.no_grad():
        made.move(READS, WRITES)
        made.W_skip.copy_(made.W_skip.T.clone())
    save_dictionary(made, folder / "turned")
    return folder


def added(home: Path, folder: Path, sae: str, **how: object) -> tuple[DictionaryView, str]:
    reading = TextReading(str(folder / "texts"))
    what = Addition(str(folder / "tiny"), str(folder / sae), reading, n_ctx=24, **how)  # type: ignore[arg-type]
    lines: list[str] = []
    settings = Settings(home=home)
    harvest_addition(settings, what, lines.append)
    return Store(connect(settings.url)).dictionary(*what.titles), "\n".join(lines)


@pytest.fixture(scope="module")
def home(folder: Path) -> Path:
    added(folder / "home", folder, "good")
    return folder / "home"


@pytest.fixture
def view(home: Path) -> DictionaryView:
    return Store(connect(Settings(home=home).url)).dictionary("tiny", "good")


def test_it_is_harvested_and_evaluated(view: DictionaryView, folder: Path) -> None:
    assert (view.hook_point, view.output_hook_point) == (READS, WRITES)
    assert view.is_transcoder
    assert view.architecture == "skip_transcoder"
    assert view.places == f"{READS} → {WRITES}"
    assert view.path == str(folder / "good")
    assert view.evaluation is not None
    assert view.evaluation["fvu"] < 0.5
    assert view.evaluation["l_zero"] != view.evaluation["l_recon"]
    assert "warnings" not in view.details
    assert view.details["d_out"] == 32


def test_what_is_stored_is_what_its_weights_give(
    view: DictionaryView, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("FEATURESCOPE_HOME", str(home))
    assert run(["verify", view.title, "--features", "8", "--corpus", str(folder / "texts")]) == 0
    assert "DIFFER" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("sae", "remedy"),
    [
        ("elsewhere", f"give --hook-point {READS} --output-hook-point {WRITES}."),
        ("turned", "with its skip connection transposed .*give --turn-skip."),
    ],
)
def test_a_wrong_use_is_noticed_and_mended(
    folder: Path, tmp_path: Path, sae: str, remedy: str
) -> None:
    _, lines = added(tmp_path, folder, sae)
    assert re.search(remedy.replace(".hook", r"\.hook"), lines), lines
    how = (
        {"turn_skip": True}
        if sae == "turned"
        else {"hook_point": READS, "output_hook_point": WRITES}
    )
    view, lines = added(tmp_path, folder, sae, name="mended", **how)
    assert "warning" not in lines
    assert view.path is not None
    mended, good = load_dictionary(Path(view.path)), load_dictionary(folder / "good")
    for name, parameter in good.named_parameters():
        torch.testing.assert_close(dict(mended.named_parameters())[name], parameter)


def test_what_was_tried_in_vain_is_what_was_tried(folder: Path) -> None:
    kept = load_dictionary(folder / "good")
    assert "input or skip connection the other way round" in no_remedy_sentence(kept)
    assert "normalisation or use of b_dec" in no_remedy_sentence(neuron_basis(WRITES, 4))


def test_the_worker_runs_it(view: DictionaryView, folder: Path) -> None:
    workbench = TorchWorkbench("cpu", 1 << 30, Limits())
    refs = {"model": model_ref(view), "dictionary": dictionary_ref(view)}
    model, made = load_model(folder / "tiny"), load_dictionary(folder / "good")
    context = (0, 40, 41, 42, 43, 44)
    request = AblateRequest(**refs, feature=3, contexts=(context,))
    (done,) = (e for e in workbench.work(request) if isinstance(e, ContextDone))
    (expected,) = ablate(model, made, 3, [torch.tensor(context)])
    changes = np.frombuffer(done.loss_change, dtype="<f4")
    np.testing.assert_allclose(changes, expected.loss_change, rtol=1e-5, atol=1e-6)
    read = ReadRequest(model=refs["model"], prompt=PROMPT, dictionaries=(refs["dictionary"],))
    (firings,) = (e for e in workbench.work(read) if isinstance(e, FiringsRead))
    assert len(firings.values) > 0
    edit = SteerEdit(
        dictionary=refs["dictionary"], feature=3, mode=SteerMode.CLAMP, strength=8.0, maximum=2.0
    )
    steer = SteerRequest(model=refs["model"], prompt=PROMPT, edits=(edit,), n_tokens=8)
    texts = [e for e in workbench.work(steer) if isinstance(e, Generated)]
    assert len(texts) == 16


def test_its_weights_and_its_store_are_taken_elsewhere(
    view: DictionaryView, home: Path, folder: Path, tmp_path: Path
) -> None:
    export_weights(view, tmp_path / "weights")
    again = load_dictionary(tmp_path / "weights")
    assert again.output == Output(WRITES, 32, skip=True)
    export_bundle(connect(Settings(home=home).url), tmp_path / "a.zip")
    settings = Settings(home=tmp_path / "other")
    with open_store(settings) as other:
        import_bundle(connect(settings.url), tmp_path / "a.zip")
        assert other.dictionary("tiny", "good").places == view.places


def test_a_layer_that_writes_into_later_blocks(folder: Path, tmp_path: Path) -> None:
    made = load_dictionary(folder / "good")
    encoder = {"W_enc": made.W_enc.T, "b_enc": made.b_enc, "b_dec": made.b_dec}
    later = torch.randn(96, 1, 32, generator=torch.Generator().manual_seed(2))
    decoder = torch.cat([made.W_dec[:, None], later], dim=1)
    (tmp_path / "clt").mkdir()
    for end, tensors in (("enc", encoder), ("dec", {"W_dec": decoder})):
        named = {f"{name}_1": tensor.contiguous() for name, tensor in tensors.items()}
        save_file(named, tmp_path / "clt" / f"W_{end}_1.safetensors")
    file = tmp_path / "clt" / "W_enc_1.safetensors"
    view, said = added(tmp_path / "home", folder, str(file), name="clt")
    assert f"which write at {WRITES} and in 1 later block\n" in said
    assert view.details["writes as well at"] == "blocks.2.hook_mlp_out"
    (note,) = view.details["notes"]
    assert "ablation and steering change what its features write" in note
    assert view.path is not None
    kept, model = load_dictionary(Path(view.path)), load_model(folder / "tiny")
    context = (0, 40, 41, 42, 43, 44)
    request = AblateRequest(
        model=model_ref(view), dictionary=dictionary_ref(view), feature=3, contexts=(context,)
    )
    (done,) = (
        event
        for event in TorchWorkbench("cpu", 1 << 30, Limits()).work(request)
        if isinstance(event, ContextDone)
    )
    (expected,) = ablate(model, kept, 3, [torch.tensor(context)])
    changes = np.frombuffer(done.loss_change, dtype="<f4")
    np.testing.assert_allclose(changes, expected.loss_change, rtol=1e-5, atol=1e-6)
    export_weights(view, tmp_path / "weights")
    again = load_dictionary(tmp_path / "weights")
    assert torch.equal(again.later_rows[0], later[:, 0])


def test_one_is_not_the_other(folder: Path, tmp_path: Path) -> None:
    save_dictionary(StandardDictionary(READS, 32, 8), tmp_path / "alone")
    with pytest.raises(HookPointError, match="has to write elsewhere, as a transcoder does"):
        added(tmp_path / "home", folder, str(tmp_path / "alone"))
    neurons = SourceSpec(str(folder / "tiny"), neurons=READS, corpus=str(folder / "texts"))
    with pytest.raises(HookPointError, match="is what the MLP reads"):
        harvest(Settings(home=tmp_path / "home"), neurons)
    save_dictionary(StandardDictionary(WRITES, 32, 8), tmp_path / "plain")
    with pytest.raises(CheckpointError, match=r"is a dictionary of one activation .*Leave out"):
        added(tmp_path / "home", folder, str(tmp_path / "plain"), output_hook_point=WRITES)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"output_hook_point": "blocks.0.hook_mlp_out"}, "lies before blocks.1.mlp.hook_in"),
        ({"output_hook_point": "blocks.1.hook_attn_out"}, "lies before blocks.1.mlp.hook_in"),
        ({"hook_point": "blocks.1.mlp.hook_out"}, "is a sparse autoencoder"),
        ({"subtracts": True}, "leave out --subtract-b-dec yes"),
        ({"norm": "layer_norm"}, "nothing says in what units its output is"),
        ({"norm": "expected_average_only_in"}, "nothing says in what units its output is"),
    ],
)
def test_it_cannot_be_used_so(
    folder: Path, tmp_path: Path, how: dict[str, object], sentence: str
) -> None:
    with pytest.raises(FeaturescopeError, match=sentence):
        added(tmp_path, folder, "good", **how)


def test_only_a_square_skip_connection_is_turned(folder: Path, tmp_path: Path) -> None:
    save_dictionary(StandardDictionary("blocks.1.hook_resid_pre", 32, 8), tmp_path / "plain")
    with pytest.raises(CheckpointError, match=r"has no skip connection .* leave out --turn-skip"):
        added(tmp_path / "home", folder, str(tmp_path / "plain"), turn_skip=True)
    width = load_model(folder / "tiny").hook_point("blocks.2.mlp.hook_post").d_in
    oblong = Output("blocks.2.mlp.hook_post", width, skip=True)
    save_dictionary(StandardDictionary(READS, 32, 8, False, oblong), tmp_path / "oblong")
    with pytest.raises(CheckpointError, match=f"from 32 to {width} numbers cannot be transposed"):
        added(tmp_path / "home", folder, str(tmp_path / "oblong"), turn_skip=True)
