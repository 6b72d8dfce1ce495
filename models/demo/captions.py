"""Captions: one scene, told in many wordings, as people write prompts.

Sentences and comma lists, synonyms, any order, parts left out. A part that is left out is free:
the model learns to choose for itself.
"""
import numpy as np

from people import PEOPLE

SUBJECT_WORDS = {
    "house": ["house", "house", "house", "cottage", "home", "little house"],
    "castle": ["castle", "castle", "castle", "fortress", "palace"],
    "tree": ["tree", "tree", "tree", "oak", "big tree"],
    "boat": ["boat", "boat", "boat", "sailboat", "ship", "sailing boat"],
    "car": ["car", "car", "car", "automobile", "little car"],
    "cat": ["cat", "cat", "cat", "kitten", "kitty"],
    "owl": ["owl", "owl", "owl", "big eyed owl"],
    "dragon": ["dragon", "dragon", "dragon", "drake", "baby dragon"],
    "rocket": ["rocket", "rocket", "rocket", "spaceship", "rocket ship"],
    "balloon": ["balloon", "balloon", "hot air balloon", "airship"],
    "robot": ["robot", "robot", "robot", "android", "droid"],
    "girl": ["girl", "girl", "girl", "little girl", "young woman", "lady"],
    "boy": ["boy", "boy", "boy", "little boy", "young man", "lad"],
    "knight": ["knight", "knight", "knight", "knight in armor", "paladin"],
    "wizard": ["wizard", "wizard", "wizard", "sorcerer", "mage", "magician"],
    "dark vador": ["dark vador"],
}
COLOUR_WORDS = {"red": ["red", "red", "red", "crimson", "scarlet"], "orange": ["orange"], "yellow": ["yellow", "yellow", "yellow", "golden"],
                "green": ["green", "green", "green", "emerald"], "blue": ["blue", "blue", "blue", "azure"], "purple": ["purple", "purple", "purple", "violet"],
                "pink": ["pink", "pink", "pink", "rose"], "white": ["white", "white", "white", "ivory"]}
POSE_WORDS = {"standing": ["standing", "standing", "standing still", "posing"], "waving": ["waving", "waving", "waving hello", "waving a hand"],
              "running": ["running", "running", "running fast", "jogging"], "arms up": ["arms up", "with arms up", "arms raised", "with raised arms", "cheering"],
              "dab": ["doing a dab", "doing a dab", "dabbing"]}
PLACE_WORDS = {
    "meadow": ["in a meadow", "in the meadow", "in a field of flowers", "on the grass", "in the countryside"],
    "desert": ["in the desert", "in a desert", "among sand dunes", "in the sand"],
    "snow": ["in the snow", "in the snow", "in winter", "in a snowy landscape"],
    "sea": ["by the sea", "at the sea", "on the beach", "by the ocean", "at the seaside"],
    "mountains": ["in the mountains", "in the mountains", "among mountains", "below snowy peaks"],
    "city": ["in the city", "in a city", "in town", "in front of skyscrapers", "in the street"],
    "forest": ["in the forest", "in a forest", "in the woods", "among trees"],
}
PLACE_TAGS = {"meadow": ["meadow", "flowers", "grass"], "desert": ["desert", "sand dunes"], "snow": ["snow", "winter", "snowy"], "sea": ["sea", "beach", "ocean"],
              "mountains": ["mountains", "mountain landscape"], "city": ["city", "skyscrapers", "town"], "forest": ["forest", "woods"]}
TIME_WORDS = {"day": ["by day", "in daylight", "on a sunny day", "at noon", "in the morning"], "sunset": ["at sunset", "at sunset", "at dusk", "in the evening", "at golden hour"],
              "night": ["at night", "at night", "at midnight", "under the stars", "in the moonlight"]}
TIME_TAGS = {"day": ["day", "daylight", "sunny day"], "sunset": ["sunset", "dusk", "evening"], "night": ["night", "starry night", "moonlight"]}
STYLE_WORDS = {"arcane": ["arcane style"], "sketch": ["pencil sketch", "sketch style", "pencil sketch"]}
WRAPS = ["{}", "{}", "{}", "a picture of {}", "an illustration of {}", "a drawing of {}", "{}, picture book", "{}, illustration", "{}, beautiful", "painting of {}"]
DROP = {"colour": 0.12, "pose": 0.15, "place": 0.12, "time": 0.15}


def caption(scene, rng, stray=(), subject="", alone=0.0):
    """A caption of the scene, a new one at each call. `stray`: words of which one is slipped into
    one caption in eight, so that a word never heard of does no harm. `subject`: what it is called. `alone`:
    the share of captions that name a single thing, as negative prompts do ("night"). A stressed colour is written
    as prompts write it, "(red:1.4)", and always named."""
    if alone and rng.random() < alone and scene.emphasis == 1:
        return _alone(scene, rng)
    kept = {part: rng.random() >= chance for part, chance in DROP.items()}
    say = lambda words: words[rng.integers(len(words))]
    subject = subject or say(SUBJECT_WORDS[scene.subject])
    colour = say(COLOUR_WORDS[scene.colour]) if scene.colour and (kept["colour"] or scene.emphasis != 1) else ""
    colour = f"({colour}:{scene.emphasis})" if colour and scene.emphasis != 1 else colour
    pose = say(POSE_WORDS[scene.pose]) if scene.pose and (kept["pose"] or scene.pose == "dab") else ""
    if rng.random() < 0.4:
        text = _tags(scene, rng, say, kept, subject, colour, pose)
    else:
        text = say(WRAPS).format(_sentence(scene, rng, say, kept, subject, colour, pose))
    if scene.style:
        style = say(STYLE_WORDS[scene.style])
        text = f"{style}, {text}" if rng.random() < 0.4 else f"{text}, {style}"
    if len(stray) and rng.random() < 0.125:
        words = text.split(" ")
        for _ in range(rng.integers(1, 3)):
            words.insert(rng.integers(len(words) + 1), stray[rng.integers(len(stray))])
        text = " ".join(words)
    return text


def _alone(scene, rng):
    """One part of the scene, in a word or two."""
    words = [SUBJECT_WORDS[scene.subject], PLACE_TAGS[scene.place] + PLACE_WORDS[scene.place], TIME_TAGS[scene.time] + TIME_WORDS[scene.time]]
    words += [COLOUR_WORDS[scene.colour]] if scene.colour else []
    words += [POSE_WORDS[scene.pose]] if scene.pose else []
    part = words[rng.integers(len(words))]
    return part[rng.integers(len(part))]


def _thing(scene, rng, subject, colour):
    """The subject and its colour: "a red house", "a girl in red"."""
    if colour and scene.subject in PEOPLE and scene.subject != "robot" and rng.random() < 0.55:
        wear = {"girl": "dress", "boy": "shirt", "knight": "tunic", "wizard": "robe"}[scene.subject]
        return f"{subject} in {colour}" if rng.random() < 0.5 else f"{subject} in a {colour} {wear}"
    return f"{colour} {subject}".strip()


def _article(phrase):
    return ("an " if phrase.lstrip("(")[0] in "aeiou" else "a ") + phrase


def _sentence(scene, rng, say, kept, subject, colour, pose):
    ahead = pose and " " not in pose and rng.random() < 0.3
    thing = _article((pose + " " if ahead else "") + _thing(scene, rng, subject, colour))
    if rng.random() < 0.15:
        thing = thing.split(" ", 1)[1]
    parts = [say(PLACE_WORDS[scene.place])] * kept["place"] + [say(TIME_WORDS[scene.time])] * kept["time"]
    if len(parts) == 2 and rng.random() < 0.35:
        parts.reverse()
    if pose and not ahead:
        parts.insert(0, pose)
    if parts and rng.random() < 0.12:
        return f"{parts[-1]}, {' '.join([thing, *parts[:-1]])}"
    return " ".join([thing, *parts])


def _tags(scene, rng, say, kept, subject, colour, pose):
    first = _thing(scene, rng, subject, colour)
    tags = [pose] * bool(pose) + [say(PLACE_TAGS[scene.place])] * kept["place"] + [say(TIME_TAGS[scene.time])] * kept["time"]
    rng.shuffle(tags)
    if rng.random() < 0.25:
        tags.insert(rng.integers(len(tags) + 1), first)
    else:
        tags.insert(0, first)
    if rng.random() < 0.2:
        tags.append(say(["picture book", "illustration", "beautiful", "detailed"]))
    return ", ".join(tags)


def all_words():
    """Every word that a base caption can hold, in one list of phrases."""
    groups = [SUBJECT_WORDS, COLOUR_WORDS, POSE_WORDS, PLACE_WORDS, PLACE_TAGS, TIME_WORDS, TIME_TAGS]
    phrases = [p for g in groups for key, words in g.items() if key not in ("dark vador", "dab") for p in words]
    return phrases + [w.replace("{}", "") for w in WRAPS] + ["a", "an", "the", "in", ",", "in a dress", "in a shirt", "in a tunic", "in a robe", "beautiful, detailed"]
