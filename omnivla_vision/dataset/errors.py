"""What can be wrong with a dataset of tokens, or with what it is made of."""

from __future__ import annotations

from omnivla_vision.errors import VisionError


class DatasetError(VisionError):
    """Base of the errors about datasets of tokens."""


class DatasetSupportMissingError(DatasetError):
    """Lance is not installed."""


class RaySupportMissingError(DatasetError):
    """Ray is not installed."""


class NotATokenDatasetError(DatasetError):
    """There is something at the dataset's path, and it is no dataset of ours."""


class DatasetFormatError(DatasetError):
    """The dataset was written by a later version."""


class DifferentDatasetError(DatasetError):
    """The dataset's rows were made with other weights, another preprocessing, or other options."""


class DatasetBusyError(DatasetError):
    """Another run writes into the dataset."""


class DatasetWriteError(DatasetError):
    """The dataset's storage refuses to be written."""


class NoRecordingError(DatasetError):
    """There is nothing to make a dataset of."""


class RecordingError(DatasetError):
    """One recording cannot be used; the others can."""


class MessageColumnError(DatasetError):
    """A topic's messages cannot become a column."""


class ClusterError(DatasetError):
    """The Ray cluster cannot be joined, or Ray cannot be started."""


class NoRoomError(DatasetError):
    """No node of the cluster has room for an actor, or none survives there."""


class DifferentNodeError(DatasetError):
    """A node has other software, or computes tokens of another kind."""


class NodeRefusedError(DatasetError):
    """A node refuses the work: its encoder cannot be had, or the dataset cannot be written there."""


class NotSharedError(DatasetError):
    """What a node wrote is not here."""


class HindsightError(DatasetError):
    """This is no rule to choose goals by."""


class NoItemsError(DatasetError):
    """There is nothing to train on."""


class UnknownColumnError(DatasetError):
    """The dataset has no such column, or none that a tensor can be made of."""


class UnfitDatasetError(DatasetError):
    """The dataset's tokens are not those that a policy takes."""


class DatasetChangedError(DatasetError):
    """The dataset is another one than the one that was opened."""


class DatasetReadError(DatasetError):
    """The dataset's storage refuses to be read."""


class LeRobotError(RecordingError):
    """A LeRobot dataset, or a file of it, cannot be used."""


class FrameRateMissingError(DatasetError):
    """Options ask for times, and nobody said when the frames were taken."""
