"""How the English demo's text begins: openings of our own, in each of which a topic is put.

A form is a sentence with a place for a topic. Chat forms are a user's first words, follow-ups the
later ones; free forms are the first words of a text that has no chat around it.
"""

from __future__ import annotations

import random

from sae_core.text.sampled import Opening

_TOPICS = """
volcanoes; the moon; honey bees; bread; chess; the Roman Empire; solar panels; jazz music;
dinosaurs; black holes; the human heart; earthquakes; Shakespeare; coffee; the Great Wall of
China; whales; democracy; the stock market; football; vaccines; the French Revolution; ants;
gravity; rivers; photography; ancient Egypt; sleep; the immune system; bicycles; opera;
glaciers; chocolate; the alphabet; space travel; cats; dogs; horses; mountains; the ocean;
deserts; rain forests; electricity; magnets; steam engines; aeroplanes; trains; bridges;
castles; pirates; Vikings; samurai; knights; kings and queens; the Second World War; the Cold
War; Napoleon; Albert Einstein; Marie Curie; Isaac Newton; Charles Darwin; Leonardo da Vinci;
Mozart; Beethoven; the Beatles; Picasso; climate change; recycling; wind power; nuclear energy;
oil; gold; diamonds; money; banks; taxes; insurance; mortgages; marketing; leadership; job
interviews; teamwork; remote work; time management; stress; meditation; yoga; running; swimming;
basketball; tennis; the Olympics; cooking pasta; baking a cake; making soup; cheese; wine; tea;
vegetables; fruit; vitamins; diabetes; cancer; allergies; headaches; the brain; memory; dreams;
emotions; friendship; love; family; parenting; school; homework; universities; learning a
language; reading; writing a novel; poetry; films; theatre; painting; sculpture; architecture;
gardens; roses; trees; birds; owls; snakes; frogs; sharks; spiders; butterflies; wolves;
elephants; lions; monkeys; bacteria; viruses; DNA; evolution; atoms; the periodic table; water;
ice; fire; light; sound; colours; numbers; prime numbers; fractions; geometry; algebra;
probability; statistics; computers; the internet; programming in Python; databases; artificial
intelligence; robots; video games; mobile phones; privacy; passwords; email; social media;
newspapers; libraries; museums; London; Paris; New York; Tokyo; India; Brazil; Africa;
Australia; Italy; Germany; Mexico; Canada; Japan; the Arctic; islands; travel by train; camping;
hiking; fishing; weather; snow; storms; the seasons; spring; Christmas; birthdays; weddings;
funerals; religion; philosophy; ethics; justice; courts; the police; prisons; elections; the
United Nations; human rights; slavery; immigration; cities; farming; cows; sheep; chickens;
factories; cars; electric cars; traffic; ships; submarines; the Titanic; clocks; calendars;
maps; compasses; mirrors; glass; paper; ink; clothes; shoes; hats; hair; teeth; eyes; the skin;
bones; pregnancy; babies; old age; doctors; nurses; hospitals; surgeons; teachers; lawyers;
engineers; carpenters; firefighters; astronauts; sailors; farmers
"""
TOPICS = tuple(" ".join(topic.split()) for topic in _TOPICS.split(";"))

CHAT = (
    "What is the most important thing to know about {}?",
    "Can you explain {} to a ten-year-old?",
    "Tell me three facts about {}.",
    "Write a short story about {}.",
    "Write a poem about {}.",
    "Give me a list of ten words that have to do with {}.",
    "Why do people care about {}?",
    "What is the history of {}?",
    "How would you describe {} to someone from another planet?",
    "What are the advantages and disadvantages of {}?",
    "Write an email to my boss about {}.",
    "Write a letter to a friend in which you tell her about {}.",
    "I don't understand {}. Help me, please.",
    "Is it true that {} are dangerous? I have heard different opinions.",
    "Give me five tips about {}.",
    "What would happen if there was no such thing as {}?",
    "Summarize what is known about {} in two sentences.",
    "Write a dialogue between two people who disagree about {}.",
    "Make a quiz with four questions about {}, and give the answers.",
    "Which books should I read about {}?",
    "Write a newspaper headline and a first paragraph about {}.",
    "I am writing an essay about {}. How should I begin?",
    "Compare {} with something similar.",
    "Tell me a joke about {}.",
    "What did people a hundred years ago think about {}?",
    "Explain step by step how to get started with {}.",
    "Write a speech about {}.",
    "What is the difference between {} and what most people believe about them?",
    "Invent a product that has to do with {} and advertise it.",
    "Who are the most famous people connected with {}?",
    "Write a Python function that has something to do with {}.",
    "Translate a sentence about {} into French.",
    "Write a review of a book about {}.",
    "How much does it cost to learn about {}?",
    "My daughter is afraid of {}. What should I say to her?",
    "Write the beginning of a detective story in which {} play a part.",
    "What are the most common mistakes people make with {}?",
    "Describe {} using all five senses.",
    "Plan a day that is all about {}.",
    "Where in the world can I see {}, and when?",
    "Is there a scientific explanation of {}?",
    "Write a diary entry of somebody who works with {}.",
    "Give me a table with facts about {}.",
    "How do {} change in winter?",
    "Argue against {} as strongly as you can.",
    "What questions would an expert ask about {}?",
    'Correct this sentence: "{} is more better than they was before."',
    "Please write a recipe or a set of instructions inspired by {}.",
)

FOLLOW_UPS = (
    "Can you explain that more simply?",
    "Thank you! Can you give me an example?",
    "Why is that?",
    "Make it shorter, please.",
    "That is interesting. What about {}?",
    "How does that compare with {}?",
    "I disagree. Isn't it the other way round?",
    "Now write the same in the style of an old fairy tale.",
    "Are you sure? Please check your answer.",
    "Give me three more.",
    "And what has that to do with {}?",
    "Thanks, that's all I wanted to know.",
    "What should I do next?",
    "How do you know?",
    "Write it as a list.",
)

SYSTEMS = (
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    "You are a friendly teacher.",
    "You answer in one short paragraph.",
    "You are an experienced doctor.",
    "You are a poet.",
    "You are a careful scientist who gives numbers and units.",
    "You are a lawyer.",
    "You are a travel guide.",
)

FREE = (
    "Once upon a time, there was a girl who knew everything about {}.",
    "The history of {} begins",
    "# An introduction to {}\n\n",
    "Chapter 1\n\nIt was a dark night, and nobody was thinking of {}.",
    "BREAKING NEWS: Officials said on Tuesday that {}",
    "Dear Sir or Madam,\n\nI am writing to you about {}.",
    "Dear Anna,\n\nyou will not believe what I have seen. It was about {}, and",
    '"I don\'t want to talk about {}," she said.',
    "The old man looked at the picture of {} and smiled.",
    "In this paper we study {}.",
    "Abstract. We report new measurements on {}.",
    "Question: What do we know about {}?\nAnswer:",
    "Frequently asked questions about {}\n\n1.",
    "How to get better at anything that has to do with {}: first,",
    "Ingredients:\n- 2 cups of flour\n- 1 egg\n\nThis recipe reminds me of {}, because",
    "I bought a book about {} last month. My review: ★★★★",
    "My grandmother used to tell me about {}. When she was young,",
    "Scientists have discovered that {}",
    "The best thing about {} is that",
    "There are many different opinions about {}. Some people think",
    "In 1923, long before anybody wrote about {},",
    "Day 12. Today we learned about {}.",
    "Welcome to our website! We offer everything about {}:",
    "Terms and conditions. This agreement is about {} and",
    "JOHN: Have you ever thought about {}?\nMARY:",
    "If you want to understand {}, you first have to know",
    "The following table lists facts about {}:\n\n|",
    'import math\n\n\ndef main():\n    """A small program about {}."""\n',
    "Roses are red, violets are blue, this poem is about {},",
    "According to a study of the University of Oxford on {},",
    "The doctor told him that {}",
    "The judge asked the witness about {}. The witness answered:",
    "It is often said that {} were better in the past, but",
    "Five reasons why {} matter:\n\n1.",
    "The company announced on Monday that its new product for {}",
    "Minutes of the meeting. Item 3: {}.",
    "He had never been to the museum of {}, but one morning",
    "Lesson 4: {}\n\nIn this lesson, students will",
    "To whom it may concern: my opinion on {} is",
    "We walked along the river and talked about {} until",
    "The word comes from Latin and has to do with {}. It means",
    "Imagine a world without {}.",
    "There are three kinds of people who like {}:",
    "The price of everything that has to do with {} rose by 12 percent",
)

_CHATS = 0.55  # share of the texts
_WITH_SYSTEM = 0.3  # share of the chats
_TURNS = 4  # later ones, of which few fit


def openings(n: int, draw: random.Random) -> list[Opening]:
    """So many openings, in ChatML where they are chats, without the token that opens a window."""
    return [_opening(draw) for _ in range(n)]


def _opening(draw: random.Random) -> Opening:
    topic = draw.choice(TOPICS)
    if draw.random() >= _CHATS:
        text = draw.choice(FREE).format(topic)
        return Opening(f"text: {topic}", "<|endoftext|>", text)
    ask = draw.choice(CHAT).format(topic)
    system = ""
    if draw.random() < _WITH_SYSTEM:
        system = f"system\n{draw.choice(SYSTEMS)}<|im_end|>\n<|im_start|>"
    later = draw.sample(FOLLOW_UPS, _TURNS)
    turns = [f"\n<|im_start|>{_asked(text.format(draw.choice(TOPICS)))}" for text in later]
    return Opening(f"chat: {topic}", "<|im_start|>", system + _asked(ask), tuple(turns))


def _asked(text: str) -> str:
    return f"user\n{text}<|im_end|>\n<|im_start|>assistant\n"
