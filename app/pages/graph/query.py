"""The address of a graph's page: which nodes are shown, and which is chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Depends, Query

from app.rendering.addresses import graph_address
from app.store.types.graphs import GraphView

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
    """

    share: float = SHARE
    node: int | None = None
    page: int = 1
    check: bool = False
    judge: bool = False

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
        )

    def at(self, node: int | None) -> GraphQuery:
        """The same with a node chosen."""
        return replace(self, node=node, check=False)

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
) -> GraphQuery:
    return GraphQuery(round(share, _DIGITS), node, page, check == "1", judge == "1")


TheGraphQuery = Annotated[GraphQuery, Depends(_graph_query)]
