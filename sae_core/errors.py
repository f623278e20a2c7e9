"""The exceptions of the science. Each message is a sentence that says what to do next."""


class FeaturescopeError(Exception):
    """The root of every error that is a message for the user and not a defect of the program.

    Attributes:
        exit_code: of a command that ends with it.
    """

    exit_code = 1


class CorpusError(FeaturescopeError):
    """The text cannot be read, is empty, or is not the text that was recorded."""


class ModelError(FeaturescopeError):
    """The language model cannot be loaded, or lacks what is asked of it."""


class HookPointError(ModelError):
    """The language model has no such hook point."""


class PromptError(ModelError):
    """A prompt is too long, or has no such position, token or feature as it is asked for."""


class PromptLengthError(PromptError):
    """A prompt is too long for its model, or empty where the model needs text."""


class CheckpointError(FeaturescopeError):
    """A dictionary on disk is missing, damaged, or does not fit its model."""


class HubError(FeaturescopeError):
    """The Hugging Face Hub cannot be reached, or does not have what is asked of it."""


class DiskError(FeaturescopeError):
    """A file cannot be written: the disk is full, or the folder may not be written to."""


class HarvestError(FeaturescopeError):
    """A harvest cannot start or go on."""


class RuleError(FeaturescopeError):
    """A stored rule makes no sense."""


class MapError(FeaturescopeError):
    """The features of a dictionary cannot be laid out here."""


class SteeringError(FeaturescopeError):
    """An edit is impossible, or steered text cannot be generated as it is asked for."""


class RoomError(SteeringError):
    """The prompt and the text to generate are together too long for the model."""


class ChatError(FeaturescopeError):
    """A chat template is broken, or makes nothing of a conversation."""


class TrainingError(FeaturescopeError):
    """A training cannot start or go on; what was trained so far is still there."""


class CircuitError(FeaturescopeError):
    """An attribution graph cannot be built as asked, or makes no sense as it is given."""


class ContrastError(FeaturescopeError):
    """Two sets of texts cannot be contrasted as asked."""


class MonitorError(FeaturescopeError):
    """A monitor cannot be made or read as asked."""


class ExperimentError(FeaturescopeError):
    """An experiment cannot be run as asked, or its results make no sense as they are given."""
