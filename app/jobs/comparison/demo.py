"""The dictionaries that show what a comparison says: three seeds and three sizes, trained short."""

from __future__ import annotations

from app.errors import InvalidRequest
from app.jobs.comparison.compare import ComparisonSpec, compare
from app.jobs.demo.contents import FEATURES, HOOK_POINT, MODEL, NEURONS, is_harvested
from app.jobs.harvest.harvest import harvest
from app.jobs.source import SourceSpec
from app.jobs.training.train import TrainingSpec, train
from app.settings import Settings, resource
from app.store.types.comparisons import ComparisonView
from sae_core.text.corpus import STDLIB
from sae_core.training.config import TrainingConfig

TRAINED_TOKENS = 500_000
EVALUATED_TOKENS = 16_384
L0 = 24
RECIPES = {
    **{f"short-4096-s{seed}": (4096, seed) for seed in range(3)},
    "short-512": (512, 3),
    "short-8192": (8192, 4),
}
"""Features and seed of each. Of one seed, two sizes would begin at the same directions, and a short
training leaves them there: they would be found again for that reason alone."""
HARVESTED_TOKENS = 32_768
COMPARED_TOKENS = 65_536
FOLDER = "demo-compare"  # below FEATURESCOPE_HOME


def compare_demo(settings: Settings) -> list[ComparisonView]:
    """Train, harvest and compare; what is done already is not done again.

    Returns:
        The comparison of seeds and sizes, and that of the demo's features with its neurons.

    Raises:
        InvalidRequest: the demo is not harvested yet.
    """
    if not is_harvested(settings, first=True):
        raise InvalidRequest(
            "The demo is not in the store yet: `featurescope demo --no-serve` harvests it."
        )
    model = str(resource("demo") / "model")
    for name, (d_sae, seed) in RECIPES.items():
        folder = settings.home / FOLDER / name
        config = TrainingConfig(d_sae=d_sae, l0=L0, tokens=TRAINED_TOKENS, seed=seed)
        training = TrainingSpec(
            *(model, HOOK_POINT, STDLIB, folder, config),
            name=name,
            evaluation_tokens=EVALUATED_TOKENS,
        )
        train(settings, training)
        spec = SourceSpec(model, dictionary=folder, name=name, model_name=MODEL)
        harvest(
            *(settings, spec, HARVESTED_TOKENS),
            rules=False,
            phrases=False,
            evaluation_tokens=EVALUATED_TOKENS,
        )
    trained = ComparisonSpec(
        tuple((MODEL, name) for name in RECIPES), "seeds and sizes", COMPARED_TOKENS
    )
    neurons = ComparisonSpec(
        ((MODEL, FEATURES), (MODEL, NEURONS)), "features and neurons", COMPARED_TOKENS
    )
    return [compare(settings, spec, replace=True) for spec in (trained, neurons)]
