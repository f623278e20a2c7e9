"""The job of the command `add`: a model, a dictionary and a text of the user's own, harvested."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from pathlib import Path
from typing import Never

from tqdm import tqdm

from app.errors import InvalidRequest
from app.jobs.harvest.fit_warnings import (
    LOOKED_AT,
    assumption_sentence,
    check_width,
    compared,
    look,
    no_remedy_sentence,
    remedy_sentence,
)
from app.jobs.harvest.harvest import EVERY_PART, HarvestParts, harvest_source
from app.jobs.source import (
    Source,
    SourceSpec,
    default_context,
    model_title,
    open_model,
    open_windows,
    opened_for,
    opening_sentence,
)
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
    Fit,
    centres_in_vain,
    first_tokens,
    text_activations,
    variant_of,
    varied,
)
from sae_core.harvest.harvest import HarvestPlan, plan_harvest
from sae_core.language_model.model import LanguageModel
from sae_core.text.reading import Packing, TextReading

DICTIONARIES = "dictionaries"
_FILES = {".pt", ".pth", ".npz", ".safetensors"}
_CHECKPOINTS = "checkpoints"


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
        hook_point: where it reads; None: as its files say.
        output_hook_point: where a transcoder writes; None: as its files say.
        turn_skip: whether a transcoder's skip connection is used transposed.
        subtracts: whether b_dec is taken off the input; None: as its files say.
        norm: one of NORMS, what is done to the input; None: as its files say.
        dtype: that the model runs in.
        revision: of the model on the Hub.
        sae_revision: of the dictionary there.
        n_ctx: positions in a window; None: 128, or as many as the model's context has, or the
            dictionary was trained on, where those are fewer.
        seed: of every draw.
        prepend_bos: whether BOS opens each context, where the dictionary's files do not say; None:
            as the model's own tokenizer does with plain text.
    """

    model: str
    sae: str
    reading: TextReading
    name: str | None = None
    model_name: str | None = None
    format: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    hook_point: str | None = None
    output_hook_point: str | None = None
    turn_skip: bool = False
    subtracts: bool | None = None
    norm: str | None = None
    dtype: str = "float32"
    revision: str | None = None
    sae_revision: str | None = None
    n_ctx: int | None = None
    seed: int = 0
    prepend_bos: bool | None = None

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
        name = sae.name
        if sae.suffix in _FILES and sae.is_file():
            name, training = sae.parent.name, sae.parent.parent.name
            if name == _CHECKPOINTS:  # of which a training has many
                name = f"{training}-{sae.stem}"
        model = Path(self.model).expanduser()
        return (
            self.model_name or (model_title(model) if model.exists() else model.name),
            self.name or name,
        )


def harvest_addition(
    settings: Settings,
    addition: Addition,
    say: Callable[[str], None],
    *,
    replace: bool = False,
    parts: HarvestParts = EVERY_PART,
) -> None:
    """Open, check, try, harvest and publish; given again, it goes on where it was stopped.

    Args:
        settings: where the store is, and the device.
        addition: model, dictionary and text.
        say: receives each line that is printed.
        replace: let another model or dictionary of the same name go.
        parts: what is made beside the features.

    Raises:
        FeaturescopeError: a part is missing or damaged, or they do not fit; the store is as before.
    """
    with open_store(settings) as store:
        # Open the three parts; each is said as soon as it is there.
        model = open_model(settings, addition.model, addition.dtype, addition.revision)
        say(
            f"model       {model.name}: {model.architecture}, {model.n_layers} layers, d_model "
            f"{model.d_model}, {addition.dtype}"
        )
        located = find_dictionary(addition.sae, addition.sae_revision)
        opened = open_dictionary(
            located.path,
            format=addition.format,
            hook_point=addition.hook_point,
            output_hook_point=addition.output_hook_point,
            mapping=addition.mapping or None,
            norm=addition.norm,
            overrides=located.overrides,
            device=settings.device,
        )
        check_width(model, opened.dictionary)
        opened.dictionary.move(
            model.usual_name(opened.dictionary.hook_point),
            model.usual_name(opened.dictionary.output_hook_point),
        )
        say(
            f"dictionary  {opened.facts['format']}, {opened.dictionary.architecture}, "
            f"{opened.dictionary.d_sae:,} features at {_place(opened.dictionary)}"
        )
        _say_what_is_in_the_files(say, opened)
        opened = _centred_in_vain_no_more(say, model, opened)
        model = opened_for(model, opened.dictionary, addition.prepend_bos)
        say(f"opening     {opening_sentence(model, opened.dictionary, addition.prepend_bos)}")
        n_ctx = addition.n_ctx or default_context(model, opened.dictionary)
        with _reading(addition.reading.n_tokens) as on_tokens:
            windows = open_windows(settings, model, addition.reading, n_ctx, on_tokens)
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
        if opened.assumed_norm is not None and addition.norm is None:
            norms = (variant_of(dictionary).norm, opened.assumed_norm)
            fits = compared(model, dictionary, plan, opened.assumed_norm)
            say(f"note        {assumption_sentence(fits, norms)}")
        if addition.norm is not None:
            opened.facts["input normalisation"] = f"{addition.norm}, as the command says"
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
        harvest_source(settings, store, source, plan, replace=replace, parts=parts)
    _say_next(say, settings, source)


def _try(
    model: LanguageModel, dictionary: Dictionary, plan: HarvestPlan, say: Callable[[str], None]
) -> list[str]:
    """Say how well a dictionary does on the first tokens; the warnings that were said."""
    findings = look(model, dictionary, plan)
    fit = findings.fit
    say(
        f"a look      at {fit.n_tokens:,} tokens: L0 {fit.l0:.3g}, {_explains(fit)}, "
        f"{100 * fit.silent_share:.1f} % of features silent"
    )
    warnings = [*findings.warnings]
    if findings.remedy is not None:
        warnings.append(remedy_sentence(dictionary, findings.remedy))
    elif warnings:
        warnings.append(no_remedy_sentence(dictionary))
    for sentence in warnings:
        say(f"warning     {sentence}")
    return warnings


def _place(dictionary: Dictionary) -> str:
    if not dictionary.is_transcoder:
        return dictionary.hook_point
    later = () if dictionary.output is None else dictionary.output.later
    behind = f" and in {len(later)} later block{'s' * (len(later) > 1)}" if later else ""
    return f"{dictionary.hook_point}, which write at {dictionary.output_hook_point}{behind}"


def _explains(fit: Fit) -> str:
    """How well it reconstructs; far below nothing a percentage says less than the FVU."""
    if fit.explained >= -1:
        return f"explains {100 * fit.explained:.1f} % of the variance"
    return f"explains less than nothing (FVU {fit.fvu:.3g})"


def _say_what_is_in_the_files(say: Callable[[str], None], opened: Opened) -> None:
    for sentence in opened.facts["changes"]:
        say(f"done        {sentence}")
    for sentence in opened.facts["notes"]:
        say(f"note        {sentence}")
    if unknown := opened.facts["settings not understood"]:
        say(
            f"note        Settings of its files that are not understood here: {'; '.join(unknown)}."
        )


def _centred_in_vain_no_more(
    say: Callable[[str], None], model: LanguageModel, opened: Opened
) -> Opened:
    """The dictionary without the centring that TransformerLens makes of other models alone."""
    if not centres_in_vain(model, opened.dictionary):
        return opened
    say(
        "note        center_writing_weights changes nothing in a model whose norms do not centre: "
        "it is left out, as TransformerLens does."
    )
    wanted = dataclass_replace(variant_of(opened.dictionary), norm="none")
    plain = varied(opened.dictionary, wanted, opened.dictionary.b_dec[None])
    return dataclass_replace(opened, dictionary=plain)


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
        prepend_bos=addition.prepend_bos,
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
    wanted = dataclass_replace(
        now,
        subtracts=now.subtracts if addition.subtracts is None else addition.subtracts,
        norm=addition.norm or now.norm,
        turned=addition.turn_skip,
    )
    if wanted == now:
        return dictionary
    sample = first_tokens(model, plan, LOOKED_AT)
    return varied(dictionary, wanted, text_activations(model, now, sample).read)


def _kept(
    settings: Settings, path: Path, opened: Opened, dictionary: Dictionary, addition: Addition
) -> Path:
    """A folder of our own format that the worker can open by itself.

    A dictionary that lies in such a folder stays there. Any other is written into the home folder,
    under a name that the same command gives again.
    """
    asked = (addition.hook_point, addition.output_hook_point, addition.turn_skip)
    untouched = asked == (None, None, False) and not opened.facts["changes"]
    if opened.format == "saelens" and untouched:
        try:
            as_it_lies = load_dictionary(path)
        except CheckpointError:
            pass  # older settings, which the reader understood and load_dictionary does not
        else:
            if variant_of(as_it_lies) == variant_of(dictionary):
                return path
    variant = variant_of(dictionary)
    facts = [opened.checksum, opened.format, *vars(variant).values(), addition.norm]
    facts += [opened.facts["changes"], *vars(dictionary.trained_on).values()]
    facts += ["turned"] if addition.turn_skip else []
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
