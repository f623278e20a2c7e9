"""The address of a graph's page: which nodes are shown, and which is chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Depends, Query

from app.rendering.addresses import graph_address
from app.store.types.graphs import GraphView
from app.worker.protocol.paths import MOST_FACTOR

SHARE = 0.8
_DIGITS = 3


@dataclass(frozen=True)
class GraphQuery:
    """What a graph's page is asked to show.

    Attributes:
        share: of all influence, that the nodes in view carry.
        node: the chosen one; None: none is.
        page: of the table, from 1.
        check: whether the chosen node is held against the real model.
        judge: whether the graph's features are held against random ones.
        look: what of the chosen node is looked at closely: `ways`, `parts`, `score`; empty: none.
        target: of the ways; None: the graph's first.
        head: whose score is asked for, as layer.head.
        key: the position that it looks at.
        scale: how many times what it writes the chosen node, or a group, is to write; None: once.
        group: id of the group that writes more or less; empty: the chosen node does.
    """

    share: float = SHARE
    node: int | None = None
    page: int = 1
    check: bool = False
    judge: bool = False
    look: str = ""
    target: int | None = None
    head: str = ""
    key: int = 0
    scale: float | None = None
    group: str = ""

    def address(self, view: GraphView) -> str:
        """Of this state."""
        return graph_address(
            view.model,
            view.name,
            share="" if self.share == SHARE else f"{self.share:g}",
            node="" if self.node is None else self.node,
            page="" if self.page == 1 else self.page,
            check="1" if self.check else "",
            judge="1" if self.judge else "",
            look=self.look,
            target="" if self.target is None else self.target,
            head=self.head,
            key=self.key if self.look == "score" else "",
            scale="" if self.scale is None else f"{self.scale:g}",
            group=self.group,
        )

    def at(self, node: int | None) -> GraphQuery:
        """The same with a node chosen."""
        kept = GraphQuery(share=self.share, page=self.page, judge=self.judge)
        return replace(kept, node=node)

    def looking(
        self, look: str, target: int | None = None, head: str = "", key: int = 0
    ) -> GraphQuery:
        """The same with the chosen node looked at closely."""
        return replace(self.at(self.node), look=look, target=target, head=head, key=key)

    @property
    def checked(self) -> GraphQuery:
        """The same with the chosen node held against the real model."""
        return replace(self, check=True)

    @property
    def judged(self) -> GraphQuery:
        """The same with the graph's features held against random ones."""
        return replace(self, judge=True)

    def at_page(self, page: int) -> GraphQuery:
        """The same at another page of the table."""
        return replace(self, page=page)


async def _graph_query(
    share: Annotated[
        float,
        Query(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="Of all influence on the targets, that the listed nodes carry.",
        ),
    ] = SHARE,
    node: Annotated[
        Annotated[int, Query(ge=0, lt=2**31)] | None, Query(description="The chosen node.")
    ] = None,
    page: Annotated[int, Query(ge=1, le=1_000_000, description="Page, from 1.")] = 1,
    check: Annotated[
        Literal["", "1"],
        Query(description="1: the chosen node is taken out of the real model."),
    ] = "",
    judge: Annotated[
        Literal["", "1"],
        Query(description="1: the graph's features are kept alone and taken out."),
    ] = "",
    look: Annotated[
        Literal["", "ways", "parts", "score"],
        Query(description="What of the chosen node is looked at closely."),
    ] = "",
    target: Annotated[
        Annotated[int, Query(ge=0, lt=2**31)] | None, Query(description="Of its ways.")
    ] = None,
    head: Annotated[str, Query(max_length=12, description="layer.head, of a score.")] = "",
    key: Annotated[int, Query(ge=0, lt=2**31, description="Position that it looks at.")] = 0,
    scale: Annotated[
        Annotated[float, Query(ge=-MOST_FACTOR, le=MOST_FACTOR, allow_inf_nan=False)] | None,
        Query(description="Times what it writes, for the chosen node or a group."),
    ] = None,
    group: Annotated[str, Query(max_length=64, description="Id of the group that is scaled.")] = "",
) -> GraphQuery:
    return GraphQuery(
        share=round(share, _DIGITS),
        node=node,
        page=page,
        check=check == "1",
        judge=judge == "1",
        look=look,
        target=target,
        head=head,
        key=key,
        scale=scale,
        group=group,
    )


TheGraphQuery = Annotated[GraphQuery, Depends(_graph_query)]
