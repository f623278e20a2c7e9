"""Running an experiment: texts are drawn, looked at, compared, and kept; killed, it goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from tqdm import tqdm

from app import __version__
from app.errors import Conflict, InvalidRequest
from app.jobs.audit.experiments.arms import ExperimentArms
from app.jobs.audit.experiments.drawing import DrawingPlan, DrawnTexts, TextDrawing
from app.jobs.audit.experiments.judging import JudgeQuestion, judge_estimate, judged
from app.jobs.audit.experiments.measuring import AskedOutcome, OutcomeReader, answers_of
from app.jobs.audit.experiments.monitoring import TextMonitors
from app.jobs.audit.experiments.neutral_text import file_texts, stored_texts
from app.jobs.audit.experiments.plan import ExperimentPlan
from app.jobs.audit.experiments.provenance import digest, plain_arm, texts_provenance
from app.jobs.audit.experiments.readings import PromptReadings, sample_seeds
from app.jobs.audit.experiments.result_file import write_result
from app.jobs.explain.answer_book import AnswerBook
from app.jobs.explain.costs import Costs
from app.jobs.explain.endpoint import Endpoint, EndpointSpec
from app.settings import Settings
from app.store.store import Store
from app.store.written.audit.experiments.records import (
    ExperimentDetails,
    ExperimentRecord,
    ExperimentView,
    OutcomeRecord,
    PromptTexts,
)
from app.worker.client.references import model_ref
from app.worker.process.jobs.registry import default_threads
from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from sae_core.audit.experiments.comparisons import FEWEST_PROMPTS, compare_arms
from sae_core.audit.experiments.side_effects import arm_side_effects
from sae_core.audit.experiments.texts import TextPlan
from sae_core.errors import DiskError
from sae_core.interventions.generation import Scope
from sae_core.interventions.next_token import TokenSampling
from sae_core.language_model.model import LanguageModel

METHOD = 1
"""Counted up when experiments come out differently: what was run before is then run anew."""

KeyOf = Callable[[str], str]
"""From the name of an environment variable to the key that it holds."""


@dataclass(frozen=True)
class JudgeMeans:
    """How judges are asked.

    Attributes:
        costs: counts and bounds what is spent.
        key_of: from the name of an environment variable to the key in it.
        parallel: questions under way at once.
    """

    costs: Costs
    key_of: KeyOf
    parallel: int = 4


class ExperimentRun:
    """One experiment, opened: model, arms and prompts are there, nothing is drawn yet.

    Args:
        settings: where home and store are, and the device.
        store: of dictionaries, lists, contrasts and monitors.
        plan: what is asked for.
        neutral: tokens of neutral texts, where an earlier run is run again; None: as planned.

    Attributes:
        folder: of its texts and its result.

    Raises:
        InvalidRequest: the plan does not fit model, dictionaries or prompts.
        NotFound: it names what is not there.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        plan: ExperimentPlan,
        neutral: Sequence[Sequence[int]] | None = None,
    ) -> None:
        torch.set_num_threads(settings.worker_threads or default_threads())
        table = plan.table
        if len(plan.prompts.prompts) < FEWEST_PROMPTS:
            raise InvalidRequest(
                f"{plan.prompts.name} has {len(plan.prompts.prompts)} prompts: the intervals need "
                f"at least {FEWEST_PROMPTS}."
            )
        self._settings, self._store, self._plan = settings, store, plan
        self._view = store.dictionary(*table.dictionary.split("/"))
        shelf = Shelf(settings.device, Limits().memory_bytes)
        self._arms = ExperimentArms(store, shelf, table)
        self._records = self._arms.records()
        self._model: LanguageModel = shelf.model(model_ref(self._view))
        self._readings = PromptReadings(self._model, plan.prompts, table.tokens)
        self._neutral = (
            self._neutral_texts() if neutral is None else [torch.tensor(text) for text in neutral]
        )
        answers = [
            [self._readings.answer(text) for text in own]
            for own in answers_of(plan.outcomes, plan.prompts)
        ]
        drawing = DrawingPlan(
            readings=self._readings,
            arms=self._arms.made(self._records),
            texts=TextPlan(
                table.tokens,
                TokenSampling(table.temperature, table.top_p, table.top_k),
                Scope(table.scope),
            ),
            seed=table.seed,
            samples=table.samples,
            answers=answers,
            neutral=self._neutral,
        )
        self._monitors = TextMonitors(store, shelf, self._view.model)
        watched = [own.monitor for own in table.outcomes if own.monitor is not None]
        monitors = {name: self._monitors.check(name) for name in watched}
        texts = texts_provenance(plan, self._view, self._arms, self._neutral)
        self._provenance = {**texts, "monitors": monitors, "version": __version__}
        drawn = {
            "method": METHOD,
            "of": texts,
            "device": settings.device,
            "arms": [plain_arm(arm) for arm in self._records],
            "answers": answers,
            "sampling": table.model_dump(
                mode="json",
                include={"samples", "tokens", "temperature", "top_p", "top_k", "scope", "seed"},
            ),
        }
        key = digest(drawn)
        again = "" if neutral is None else "-again"
        self.folder = settings.home / "experiments" / f"{key[:32]}{again}"
        outcomes = [own.model_dump(mode="json") for own in table.outcomes]
        self._question = digest(
            {"drawn": key, "outcomes": outcomes, "monitors": monitors, "title": plan.title}
        )
        self._drawing = TextDrawing(self.folder, self._model, drawing)
        self._n_texts = drawing.n_texts

    def promise(self) -> str:
        """What is going to be done, in a line."""
        table, prompts = self._plan.table, self._plan.prompts
        n = len(prompts.prompts)
        equal = f" ({prompts.equal:,} say what another says)" if prompts.equal else ""
        samples = f" × {table.samples} samples" if table.samples > 1 else ""
        missing = len(self._drawing.missing())
        done = len(self._drawing.batches) - missing
        rest = f"; {done:,} of {len(self._drawing.batches):,} batches are there" if done else ""
        return (
            f"{n:,} prompts{equal} × {len(self._records)} arms{samples}: {self._n_texts:,} texts "
            f"of at most {table.tokens} tokens{rest}."
        )

    def estimates(self, costs: Costs) -> list[str]:
        """How long it is going to take, by one batch that is drawn and kept, and what judges cost
        at most."""
        said = []
        missing = self._drawing.missing()
        if missing:
            middle = missing[len(missing) // 2]
            seconds = self._drawing.draw(middle)
            n = len(self._drawing.batches[middle].numbers)
            left = sum(len(self._drawing.batches[m].numbers) for m in missing if m != middle)
            rate = n * self._n_texts / len(self._plan.prompts.prompts) / seconds
            said.append(
                f"About {_duration(left * seconds / n)} of drawing are left, at {rate:,.0f} texts "
                "a second."
            )
        for outcome in self._plan.outcomes:
            if outcome.kind == "judge":
                about = judge_estimate(
                    _judge_question(outcome),
                    [prompt.said for prompt in self._plan.prompts.prompts],
                    len(self._records) * self._plan.table.samples,
                    self._plan.table.tokens,
                )
                said.append(f"{outcome.name}: {about.sentence(costs.prices)}")
        return said

    def run(self, judge: JudgeMeans) -> tuple[ExperimentView, Path]:
        """Draw what is missing, look at it, compare, and keep it; returns it with its file.

        Raises:
            Conflict: another process runs the same experiment.
            SteeringError: an arm drives the model out of its numbers.
            ExperimentError: a pattern takes too long, or too few prompts have an outcome.
            EndpointGone, BudgetSpent: a judge answers no more; what it said is kept.
        """
        # Other outcomes of the same texts are another experiment in the same folder.
        result = self.folder / f"result-{self._question[:16]}.json"
        there = self._store.audit.experiments.asked(self._question)
        if there is not None and result.is_file():
            return there, result
        with self._alone():
            record = self._record(self._drawn(), judge)
            write_result(result, record, [text.tolist() for text in self._neutral])
        return self._store.audit.experiments.save(record), result

    def run_again(self, judge: JudgeMeans) -> ExperimentRecord:
        """As `run`, but nothing is kept once it is done: to be compared with an earlier run."""
        with self._alone():
            record = self._record(self._drawn(), judge)
        shutil.rmtree(self.folder, ignore_errors=True)
        return record

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "lock", timeout=0):
                yield
        except Timeout as error:
            raise Conflict(
                f"Another process runs the experiment in {self.folder}: wait for it, or stop it."
            ) from error
        except OSError as error:
            raise DiskError(f"{self.folder} cannot be written: {error.strerror}.") from error

    def _drawn(self) -> DrawnTexts:
        missing = self._drawing.missing()
        per_prompt = self._n_texts // len(self._plan.prompts.prompts)
        done = self._n_texts - per_prompt * sum(
            len(self._drawing.batches[number].numbers) for number in missing
        )
        with tqdm(
            desc="drawing", total=self._n_texts, initial=done, unit="texts", unit_scale=True
        ) as bar:
            for number in missing:
                self._drawing.draw(number)
                bar.update(per_prompt * len(self._drawing.batches[number].numbers))
        with tqdm(desc="neutral text", total=len(self._neutral), unit="texts") as bar:
            neutral = self._drawing.read_neutral(bar.update)
        return self._drawing.drawn(neutral)

    def _record(self, drawn: DrawnTexts, judge: JudgeMeans) -> ExperimentRecord:
        plan, table = self._plan, self._plan.table

        def judges(outcome: AskedOutcome, question: JudgeQuestion) -> NDArray[np.float64]:
            return self._judge(outcome, question, drawn, judge)

        def monitor(name: str) -> NDArray[np.float64]:
            return self._monitors.levels(name, drawn.texts)

        read = OutcomeReader(drawn, judges, monitor).read(plan.outcomes)
        names = [arm.name for arm in self._records]
        controls: dict[str, list[str]] = {}
        for arm in self._records:
            if arm.control_of:
                controls.setdefault(arm.control_of, []).append(arm.name)
        details = ExperimentDetails(
            plan=plan.asked,
            provenance=self._provenance,
            arms=self._records,
            outcomes=tuple(
                OutcomeRecord(
                    asked.name,
                    asked.kind,
                    asked.about,
                    asked.happens,
                    int(np.isnan(own.values).any(axis=1).sum()),
                )
                for asked, own in zip(plan.outcomes, read, strict=True)
            ),
            figures=compare_arms(read, names, controls, table.seed),
            side_effects=tuple(arm_side_effects(drawn.neutral, names) if drawn.neutral else ()),
            prompts=len(plan.prompts.prompts),
            samples=table.samples,
        )
        return ExperimentRecord(
            model=self._view.model,
            dictionary=self._view.name,
            checksum=self._view.checksum,
            question=self._question,
            title=plan.title,
            details=details,
            values=np.stack([*(own.values for own in read), drawn.others]),
            texts=[
                PromptTexts(
                    number,
                    prompt.said,
                    dict(prompt.fields),
                    sample_seeds(table.seed, number, table.samples),
                    drawn.texts[number],
                )
                for number, prompt in enumerate(plan.prompts.prompts)
            ],
        )

    def _judge(
        self, outcome: AskedOutcome, question: JudgeQuestion, drawn: DrawnTexts, judge: JudgeMeans
    ) -> NDArray[np.float64]:
        own = outcome.table
        key = judge.key_of(own.key_name)
        spec = EndpointSpec(str(own.endpoint), str(own.judge), key, own.key_name)
        book = AnswerBook(self._settings.home / "experiments" / "answers.jsonl")
        with book:
            endpoint = Endpoint(spec, book, judge.costs)
            try:
                said = [prompt.said for prompt in self._plan.prompts.prompts]
                made = judged(
                    *(endpoint, question, said, drawn.texts, judge.parallel, outcome.name)
                )
            finally:
                endpoint.close()
        for reason, count in made.failures.items():
            tqdm.write(f"{outcome.name}: {count:,} texts have no answer. {reason}")
        return made.values

    def _neutral_texts(self) -> list[torch.Tensor]:
        table = self._plan.table
        if not table.neutral_texts:
            return []
        if table.neutral is not None:
            path = self._plan.folder / table.neutral
            return file_texts(self._model, path, table.neutral_texts)
        return stored_texts(self._store, self._view, table.neutral_texts, table.seed)


def _judge_question(outcome: AskedOutcome) -> JudgeQuestion:
    return JudgeQuestion(str(outcome.table.question), outcome.table.scale)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
