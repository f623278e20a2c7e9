"""What every route leans on, put together once for each application."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Header, Request

from app.rendering.templates import Renderer
from app.rendering.tokens import Typeset, Typesets
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.web.search.finding import FeatureSearch
from app.web.search.phrase_search import PhraseSearch
from app.worker.alarms.desk import AlarmDesk
from app.worker.client.ablations import Ablations
from app.worker.client.prompts import PromptWork
from app.worker.client.streaming import LiveWorker
from app.worker.client.supervisor import WorkerProcess
from app.worker.client.waiters import Waiters


@dataclass(frozen=True)
class Site:
    """The parts of a running application.

    Attributes:
        store: the only door to the database.
        ablations: asks the store, then the worker.
        worker: the child process, or None where the worker runs by itself.
        renderer: the templates.
        typesets: each model's tokens, ready for pages.
        live: the worker, for streams that no thread waits with.
        prompts: asks the worker about prompts, and remembers.
        waiters: the requests that wait for the worker.
        search: finds features by what is typed.
        phrases: finds features by a phrase of the harvested text.
        alarms: takes what monitors raise.
        home: the folder of what lies outside of the database.
        worker_urls: addresses of workers that run by themselves.
    """

    store: Store
    ablations: Ablations
    worker: WorkerProcess | None
    renderer: Renderer
    typesets: Typesets
    live: LiveWorker
    prompts: PromptWork
    waiters: Waiters
    alarms: AlarmDesk
    search: FeatureSearch = field(default_factory=FeatureSearch)
    phrases: PhraseSearch = field(default_factory=PhraseSearch)
    home: Path = Path()
    worker_urls: tuple[str, ...] = ()

    def typeset(self, dictionary: DictionaryView) -> Typeset:
        """The tokens of the dictionary's model."""
        return self.typesets.of(dictionary.model_id, self.store.vocabulary(dictionary.model_id))


# Dependencies without a database are coroutines: a thread for each would cost more than they do.
async def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


TheSite = Annotated[Site, Depends(_site)]


def _dictionary(model: str, dictionary: str, site: TheSite) -> DictionaryView:
    return site.store.dictionary(model, dictionary)


async def _is_fragment(
    hx_request: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> bool:
    return hx_request == "true"


TheDictionary = Annotated[DictionaryView, Depends(_dictionary)]
Fragment = Annotated[bool, Depends(_is_fragment)]
