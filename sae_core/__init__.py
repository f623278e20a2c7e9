"""The science of Featurescope: dictionaries, harvest, ablation, evaluation. No web, no database."""
