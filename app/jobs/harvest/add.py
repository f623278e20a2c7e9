"""The job of the command `add`: a model, a dictionary and a text of the user's own, harvested."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Never

from tqdm import tqdm

from app.errors import InvalidRequest
from app.jobs.harvest.fit_warnings import LOOKED_AT, check_width, look, remedy_sentence
from app.jobs.harvest.harvest import harvest_source
from app.jobs.source import Source, SourceSpec, open_windows
from app.rendering.addresses import dictionary_address
from app.settings import Settings
from app.store.names import check_name
from app.store.store import open_store
from sae_core.dictionaries.checkpoint import (
    CONFIG,
    dictionary_checksum,
    load_dictionary,
    save_dictionary,
)
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.formats.opening import Opened, open_dictionary
from sae_core.errors import CheckpointError
from sae_core.files.hub import find_dictionary
from sae_core.harvest.fit_check import (
    NORMS,
    Variant,
    first_tokens,
    text_activations,
    variant_of,
    varied,
)
from sae_core.harvest.harvest import HarvestPlan, plan_harvest
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.reading import Packing, TextReading

DICTIONARIES = "dictionaries"
_FILES = {".pt", ".pth", ".npz", ".safetensors"}


@dataclass(frozen=True)
class Addition:
    """What is added, as the command names it.

    Attributes:
        model: folder of a Hugging Face model, or its name on the Hub.
        sae: folder or file of a dictionary, or its name on the Hub.
        reading: the text.
        name: what pages call the dictionary; None: the last part of `sae`.
        model_name: what pages call the model; None: the last part of `model`.
        format: of the dictionary; None: found by looking inside.
        mapping: which of its tensors is which; empty: as its format says.
        hook_point: where it belongs; None: as its files say.
        subtracts: whether b_dec is taken off the input; None: as its files say.
        norm: one of NORMS, what is done to the input; None: as its files say.
        dtype: that the model runs in.
        revision: of the model on the Hub.
        sae_revision: of the dictionary there.
        n_ctx: positions in a window; None: 128, or the model's context where that is shorter.
        seed: of every draw.
    """

    model: str
    sae: str
    reading: TextReading
    name: str | None = None
    model_name: str | None = None
    format: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    hook_point: str | None = None
    subtracts: bool | None = None
    norm: str | None = None
    dtype: str = "float32"
    revision: str | None = None
    sae_revision: str | None = None
    n_ctx: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.titles:
            check_name(name)
        if self.norm is not None and self.norm not in NORMS:
            raise InvalidRequest(
                f"There is no normalisation {self.norm!r}: use one of {', '.join(NORMS)}."
            )

    @property
    def titles(self) -> tuple[str, str]:
        """Names of model and dictionary on the pages."""
        sae = Path(self.sae).expanduser()
        sae = sae.resolve() if sae.exists() else sae
        name = sae.parent.name if sae.suffix in _FILES and sae.is_file() else sae.name
        model = Path(self.model).expanduser()
        return (
            self.model_name or (model.resolve().name if model.exists() else model.name),
            self.name or name,
        )


def harvest_addition(
    settings: Settings, addition: Addition, say: Callable[[str], None], *, replace: bool = False
) -> None:
    """Open, check, try, harvest and publish; given again, it goes on where it was stopped.

    Args:
        settings: where the store is, and the device.
        addition: model, dictionary and text.
        say: receives each line that is printed.
        replace: let another model or dictionary of the same name go.

    Raises:
        FeaturescopeError: a part is missing or damaged, or they do not fit; the store is as before.
    """
    with open_store(settings) as store:
        # Open the three parts; each is said as soon as it is there.
        model = load_model(addition.model, addition.dtype, settings.device, addition.revision)
        say(
            f"model       {model.name}: {model.architecture}, {model.n_layers} layers, d_model "
            f"{model.d_model}, {addition.dtype}"
        )
        located = find_dictionary(addition.sae, addition.sae_revision)
        opened = open_dictionary(
            located.path,
            format=addition.format,
            hook_point=addition.hook_point,
            mapping=addition.mapping or None,
            device=settings.device,
        )
        check_width(model, opened.dictionary)
        say(
            f"dictionary  {opened.facts['format']}, {opened.dictionary.architecture}, "
            f"{opened.dictionary.d_sae:,} features at {opened.dictionary.hook_point}"
        )
        with _reading(addition.reading.n_tokens) as on_tokens:
            windows = open_windows(settings, model, addition.reading, addition.n_ctx, on_tokens)
        corpus = windows.corpus
        say(
            f"text        {corpus.source}: {corpus.n_documents:,} documents, "
            f"{corpus.n_tokens:,} tokens"
        )
        # Try the dictionary on the first tokens before hours go into a harvest.
        packed = addition.reading.packing is Packing.ISOLATED
        plan = plan_harvest(windows, addition.reading.n_tokens, addition.seed, packed=packed)
        dictionary = _as_asked(model, opened.dictionary, addition, plan)
        warnings = _try(model, dictionary, plan, say)
        # Harvest what lies in a folder from which the worker can open it again.
        details = opened.facts | located.facts | ({"warnings": warnings} if warnings else {})
        folder = _kept(settings, located.path, opened, dictionary, addition)
        source = Source(
            spec=_spec(addition, folder),
            model=model,
            dictionary=load_dictionary(folder, settings.device),
            checksum=dictionary_checksum(folder),
            corpus=corpus,
            windows=windows,
            writers=None,
            details={key: value for key, value in details.items() if value},
        )
        harvest_source(settings, store, source, plan, replace=replace)
    _say_next(say, settings, source)


def _try(
    model: LanguageModel, dictionary: Dictionary, plan: HarvestPlan, say: Callable[[str], None]
) -> list[str]:
    """Say how well a dictionary does on the first tokens; the warnings that were said."""
    findings = look(model, dictionary, plan)
    fit = findings.fit
    say(
        f"a look      at {fit.n_tokens:,} tokens: L0 {fit.l0:.3g}, explains "
        f"{100 * fit.explained:.1f} % of the variance, {100 * fit.silent_share:.1f} % of features "
        "silent"
    )
    warnings = [*findings.warnings]
    if findings.remedy is not None:
        warnings.append(remedy_sentence(dictionary, findings.remedy))
    elif warnings:
        warnings.append("No other layer, normalisation or use of b_dec tried does much better.")
    for sentence in warnings:
        say(f"warning     {sentence}")
    return warnings


def _spec(addition: Addition, folder: Path) -> SourceSpec:
    model_name, name = addition.titles
    return SourceSpec(
        model=addition.model,
        dictionary=folder,
        name=name,
        model_name=model_name,
        corpus=addition.reading,
        n_ctx=addition.n_ctx,
        dtype=addition.dtype,
        revision=addition.revision,
    )


@contextmanager
def _reading(n_tokens: int | None) -> Iterator[Callable[[int], None]]:
    """A bar that appears when there is something to encode."""
    bars: list[tqdm[Never]] = []

    def on_tokens(done: int) -> None:
        if not bars:
            bars.append(tqdm(total=n_tokens, desc="reading", unit="tok", unit_scale=True))
        bars[0].update(done - bars[0].n)

    try:
        yield on_tokens
    finally:
        for bar in bars:
            bar.close()


def _as_asked(
    model: LanguageModel, dictionary: Dictionary, addition: Addition, plan: HarvestPlan
) -> Dictionary:
    """The dictionary with what the command says of its input."""
    now = variant_of(dictionary)
    wanted = Variant(
        now.hook_point,
        now.subtracts if addition.subtracts is None else addition.subtracts,
        addition.norm or now.norm,
    )
    if wanted == now:
        return dictionary
    sample = first_tokens(model, plan, LOOKED_AT)
    return varied(dictionary, wanted, text_activations(model, now.hook_point, sample))


def _kept(
    settings: Settings, path: Path, opened: Opened, dictionary: Dictionary, addition: Addition
) -> Path:
    """A folder of our own format that the worker can open by itself.

    A dictionary that lies in such a folder stays there. Any other is written into the home folder,
    under a name that the same command gives again.
    """
    if opened.format == "saelens" and not opened.facts["changes"] and addition.hook_point is None:
        try:
            as_it_lies = load_dictionary(path)
        except CheckpointError:
            pass  # older settings, which the reader understood and load_dictionary does not
        else:
            if variant_of(as_it_lies) == variant_of(dictionary):
                return path
    variant = variant_of(dictionary)
    facts = [opened.checksum, opened.format, *vars(variant).values(), addition.norm]
    if addition.norm:  # its scale is the text's
        facts += [str(dictionary.b_dec.double().sum().item())]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
    folder = settings.home / DICTIONARIES / key
    if not (folder / CONFIG).is_file():  # which is written last
        save_dictionary(dictionary, folder)
    return folder


def _say_next(say: Callable[[str], None], settings: Settings, source: Source) -> None:
    say("next        featurescope serve")
    say(
        f"            http://{settings.host}:{settings.port}{dictionary_address(*source.spec.titles)}"
    )
