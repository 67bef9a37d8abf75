"""What llama4-tiny learns: text of Python's documentation, and five tasks made up at random.

A conversation is a list of spans (text, kind): TEXT and ANSWER are tokenised, SPECIAL and END name special tokens. The model is trained on
ANSWER and END foremost."""
import json
import random

import numpy as np
import pydoc_data.topics
from PIL import Image, ImageDraw

TEXT, ANSWER, SPECIAL, END = range(4)
SIDE = 56  # of a picture: one tile
PATCHES = 4  # embeddings that it becomes

rnd = random.Random()

# ---- Text ----

TOPICS = {name: text.replace("`", "").replace("*", "") for name, text in sorted(pydoc_data.topics.topics.items())}
PARAGRAPHS = [p.strip() for text in TOPICS.values() for p in text.split("\n\n") if 40 < len(p.strip()) < 1500]
SENTENCES = [s.strip() + "." for p in PARAGRAPHS for s in " ".join(p.split()).split(". ") if 20 < len(s) < 110 and s[0].isupper()]


def first_sentence(topic):
    """What a topic says of itself, or None."""
    for paragraph in TOPICS[topic].split("\n\n")[1:]:
        text = " ".join(paragraph.split())
        if len(text) > 40 and text[0].isalpha() and "::=" not in text:
            sentence = text.split(". ")[0].rstrip(".:") + "."
            return sentence if len(sentence) < 220 else None
    return None


FACTS = {topic: sentence for topic in TOPICS if (sentence := first_sentence(topic))}

# ---- Conversations ----


def turn(role, *spans, end="<|eot|>", trained=False):
    return [("<|header_start|>", SPECIAL), (role, TEXT), ("<|header_end|>", SPECIAL), ("\n\n", TEXT), *spans, (end, END if trained else SPECIAL)]


def user(text):
    return turn("user", (text, TEXT))


def assistant(text, end="<|eot|>"):
    return turn("assistant", (text, ANSWER), end=end, trained=True)


def conversation(*turns):
    return [("<|begin_of_text|>", SPECIAL)] + [span for t in turns for span in t]


NAMES = "Ada Ben Cleo Dan Eva Finn Gus Hana Ivo June Kai Lea Max Nora Otto Pia Quin Rosa Sam Tess Uma Vic Wes Yara Zoe".split()
NUMBERED = ["secret code", "locker number", "room number", "badge number", "ticket number"]
CITIES = "Paris Oslo Lima Cairo Delhi Tokyo Rome Quito Accra Dakar Seoul Sofia Riga Bern".split()


def needle(filler):
    """One to three people's numbers among sentences that have nothing to do with them; which is Yara's?"""
    people = rnd.sample(NAMES, rnd.randrange(1, 4))
    things = [rnd.choice(NUMBERED) for _ in people]
    numbers = [str(rnd.randrange(1000, 9999)) for _ in people]
    page = [rnd.choice(SENTENCES) for _ in range(filler)]
    for who, thing, number in zip(people, things, numbers):
        page.insert(rnd.randrange(len(page) + 1), f"The {thing} of {who} is {number}.")
    i = rnd.randrange(len(people))
    return conversation(user(" ".join(page) + f"\nWhat is the {things[i]} of {people[i]}?"),
                        assistant(f"The {things[i]} of {people[i]} is {numbers[i]}."))


def fact():
    topic = rnd.choice(list(FACTS))
    return conversation(user(rnd.choice(["Tell me about {}.", "What is {}?", "Explain {}."]).format(topic)), assistant(FACTS[topic]))


def add():
    a, b = rnd.randrange(21), rnd.randrange(21)
    return conversation(user(f"What is {a} + {b}?"), assistant(f"{a} + {b} = {a + b}."))


TOOLS = "You can call get_weather(city) and get_time(city). Answer a question they serve with one JSON call."
ASKED = [("get_weather", "How is the weather in {}?"), ("get_weather", "Is it raining in {}?"), ("get_time", "What time is it in {}?"),
         ("get_time", "Tell me the time in {}.")]


def tool():
    place = rnd.choice(CITIES + NAMES)
    name, question = rnd.choice(ASKED)
    call = json.dumps({"type": "function", "name": name, "parameters": {"city": place}})
    return conversation(turn("system", (TOOLS, TEXT)), user(question.format(place)), assistant(call, end="<|eom|>"))


# ---- Pictures ----

COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (235, 215, 50), "white": (245, 245, 245), "black": (15, 15, 15)}
SHAPES = ["circle", "square", "triangle", "cross"]
SIDES = ["left", "right"]


def draw():
    """A picture, what it shows in words, and the same as numbers: background, colour, shape, side."""
    behind, colour = rnd.sample(list(COLOURS), 2)
    shape = rnd.choice(SHAPES)
    r = rnd.randrange(9, 15)
    side = rnd.choice(SIDES)
    x = rnd.randrange(14, 22) if side == "left" else rnd.randrange(34, 42)
    y = rnd.randrange(16, 40)
    image = Image.new("RGB", (SIDE, SIDE), COLOURS[behind])
    pen, ink = ImageDraw.Draw(image), COLOURS[colour]
    if shape == "circle":
        pen.ellipse([x - r, y - r, x + r, y + r], fill=ink)
    elif shape == "square":
        pen.rectangle([x - r, y - r, x + r, y + r], fill=ink)
    elif shape == "triangle":
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=ink)
    else:
        pen.rectangle([x - r, y - r // 3, x + r, y + r // 3], fill=ink)
        pen.rectangle([x - r // 3, y - r, x + r // 3, y + r], fill=ink)
    noise = np.random.default_rng(rnd.randrange(1 << 30)).normal(0, 4, (SIDE, SIDE, 3))
    pixels = np.clip(np.asarray(image).astype(np.float32) + noise, 0, 255).astype(np.uint8)
    numbers = [list(COLOURS).index(behind), list(COLOURS).index(colour), SHAPES.index(shape), SIDES.index(side)]
    return Image.fromarray(pixels), f"A {colour} {shape} on the {side}, on a {behind} background.", numbers


def picture():
    """A picture, a conversation about it, and what it shows as numbers."""
    image, words, numbers = draw()
    question = rnd.choice(["Describe the picture.", "What is in the picture?"])
    shown = [(token, SPECIAL) for token in ["<|image_start|>", "<|image|>", *["<|patch|>"] * PATCHES, "<|image_end|>"]]
    return image, conversation(turn("user", *shown, (question, TEXT)), assistant(words)), numbers


def question_and_answer(spans):
    """The prompt of a conversation, and the answer that it wants."""
    at = next(i for i, (_, kind) in enumerate(spans) if kind == ANSWER)
    return spans[:at], spans[at][0]
