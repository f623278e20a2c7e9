"""The exceptions of the science. Each message is a sentence that says what to do next."""


class FeaturescopeError(Exception):
    """Root of every error that is a message for the user and not a defect."""


class CorpusError(FeaturescopeError):
    """The text cannot be read, is empty, or is not the text that was recorded."""


class ModelError(FeaturescopeError):
    """The language model cannot be loaded, or lacks what is asked of it."""


class HookPointError(ModelError):
    """The language model has no such hook point."""


class PromptError(ModelError):
    """What is asked of a prompt cannot be: it is too long, or has no such position or token."""


class PromptLengthError(PromptError):
    """A prompt is too long for its model, or empty where the model needs text."""


class CheckpointError(FeaturescopeError):
    """A dictionary on disk is missing, damaged, or does not fit its model."""


class HubError(FeaturescopeError):
    """The Hugging Face Hub cannot be reached, or has not what is asked of it."""


class DiskError(FeaturescopeError):
    """A file cannot be written: the disk is full, or the folder is not ours."""


class HarvestError(FeaturescopeError):
    """A harvest cannot start or go on."""


class SteeringError(FeaturescopeError):
    """An edit, or what is asked of steered text, cannot be."""


class RoomError(SteeringError):
    """Prompt and text together are too long for the model."""


class TrainingError(FeaturescopeError):
    """A training cannot start or go on; what was trained so far is still there."""
