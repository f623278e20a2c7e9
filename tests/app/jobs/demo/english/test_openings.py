"""Openings: the same from the same seed, of both kinds, in the model's own template."""

from __future__ import annotations

import random

from app.jobs.demo.english.openings import TOPICS, openings


def test_openings_follow_the_seed_and_fill_every_place() -> None:
    begun = openings(400, random.Random("1"))
    assert begun == openings(400, random.Random("1"))
    assert begun != openings(400, random.Random("2"))
    assert all("{" not in text for o in begun for text in (o.text, *o.turns))
    chats = [o for o in begun if o.turns]
    assert 160 < len(chats) < 280
    assert all(o.lead == "<|im_start|>" for o in chats)
    assert all(o.text.endswith("<|im_end|>\n<|im_start|>assistant\n") for o in chats)
    assert all(o.lead == "<|endoftext|>" and "<|" not in o.text for o in begun if not o.turns)


def test_topics_are_different_words() -> None:
    assert len(set(TOPICS)) == len(TOPICS) == 255
    assert all(topic == " ".join(topic.split()) != "" for topic in TOPICS)
