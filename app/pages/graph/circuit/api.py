"""Circuits of tasks as JSON."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from app.pages.graph.circuit import schema as types
from app.pages.graph.circuit.view import circuit_page
from app.rendering.addresses import circuit_address
from app.web.schema import ERRORS
from app.web.site import TheSite
from sae_core.circuits.tasks.result import Ability

router = APIRouter(prefix="/api/v1/m/{model}", tags=["graphs"], responses=ERRORS)


@router.get("/circuits")
def circuits(model: str, site: TheSite) -> types.CircuitList:
    """The circuits of a model's tasks.

    \f
    For example /api/v1/m/demo/circuits
    """
    return types.CircuitList(
        circuits=[
            types.CircuitSummary(
                name=view.name,
                title=view.record.title,
                n_prompts=len(view.record.prompts),
                created=view.created,
                address=circuit_address(model, view.name),
            )
            for view in site.store.graphs.circuits.all(model)
        ]
    )


@router.get("/circuit/{name}")
def circuit(model: str, name: str, site: TheSite) -> types.CircuitAnswer:
    """A circuit with all its figures.

    \f
    For example /api/v1/m/demo/circuit/brackets
    """
    page = circuit_page(site.store.graphs.circuits.view(model, name), site.store)
    record = page.view.record
    return types.CircuitAnswer(
        name=page.view.name,
        model=record.model,
        title=record.title,
        prompts=[types.CircuitTaskPrompt(**asdict(prompt)) for prompt in record.prompts],
        whole=_ability(record.circuit.whole),
        firing=record.circuit.firing,
        features=[
            types.CircuitFeature(
                dictionary=record.dictionaries[row.feature.place].name,
                label=row.label,
                rule=row.rule,
                address=row.address,
                **{key: value for key, value in asdict(row.feature).items() if key != "place"},
            )
            for row in page.features
        ],
        sets=[
            types.CircuitSet(
                size=tried.size,
                without=_ability(tried.without),
                random=[_ability(drawn) for drawn in tried.random],
            )
            for tried in record.circuit.sets
        ],
        created=page.view.created,
        address=page.address,
    )


def _ability(ability: Ability) -> types.CircuitAbility:
    return types.CircuitAbility(gap=list(ability.gap), probability=list(ability.probability))
