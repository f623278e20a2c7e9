"""Featurescope from Python: everything that its pages show, without torch. In: what a program asks.
Out: the JSON interface's answers as objects. Called by users' programs.

from app.client import FeaturescopeClient

client = FeaturescopeClient("http://127.0.0.1:8000")
read = client.activations("demo", "def __init__(self, host):")
for dictionary, feature in read.active()[:10]:
    print(dictionary, feature.index, feature.activation, feature.raised)
"""

from __future__ import annotations

from app.client.client import FeaturescopeClient, PromptRead
from app.client.transport import RequestFailed
from app.pages.prompt.differences import Difference
from app.pages.steer.questions import Edit

__all__ = ["Difference", "Edit", "FeaturescopeClient", "PromptRead", "RequestFailed"]
