"""Strings that are hard for a tokenizer, the same ones for the same seed."""
import random
import unicodedata

ENGLISH = ("a an the of in on with portrait castle dusk photo masterpiece highly detailed 8k trending artstation octane render cinematic "
           "lighting sharp focus by greg rutkowski alphonse mucha studio ghibli arcane style girl boy cat dog dragon forest sea sky "
           "beautiful ethereal hyperrealistic intricate watercolor oil painting concept art unreal engine bokeh depth field volumetric").split()
ACCENTED = "naïve café Ärger straße señor façade Łódź Çelik İstanbul ıspanak Ångström œuvre fiancée Dvořák Ñandú ΑΣ ΣΊΣΥΦΟΣ ǅungla ﬁn".split()
OTHER = ("東京 富士山 美しい カタカナ ﾊﾝｶｸ 你好世界 水墨画 한국어 서울 김치 Москва Ёлка кот שלום عربى ไทย หมา हिन्दी नमस्ते தமிழ் ქართული Հայ "
         "አማርኛ ភាសា ພາສາ বাংলা ᓄᓇᕗᑦ 𝔘𝔫𝔦 𝟙𝟚 Ⅷ ⅔ ① ٣٤ ५ ½ ² ㍿ ﷽ 🄰").split()
EMOJI = "😀 😂😂😂 ❤️ 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇯🇵 🧙🏿‍♂️ ☺ ™ © ✨🌊 🫠 ⛰️ 1️⃣".split()
MARKUP = "&amp; &lt;b&gt; &#39; &nbsp; &eacute; <b> </s> &#x1F600; &unknown; <|startoftext|> <|endoftext|> <|StartOfText|> <|ENDOFTEXT|>!! !<|endoftext|> <|endoftext|".split()
ENGLISH_MARKS = "don't I'VE we'Ll it's 'S 's's 'tis rock'n'roll o'clock y'all'd've ''s '' 'm!'re x'd’s ... --- !!! ,,, ?! ;) (((o))) [x] {y} # $5.99 50% a_b a-b e.g. C++ 3.14 1,000 2024 v1.5".split()
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2009", "\u200b", "\u2028", "\u0085", "\u180e", "\x1c", "\x0b", "\ufeff"]
CONTROLS = [chr(c) for c in (*range(0, 32), 127, *range(0x80, 0xA0), 0xAD, 0x200C, 0x200D, 0x202E, 0x2066, 0xFFF9, 0xFFFD, 0xFFFF, 0xE0041, 0x10FFFF)]
MARKS = [chr(c) for c in range(0x300, 0x370)] + [chr(c) for c in (0x483, 0x591, 0x5B0, 0x64B, 0x670, 0x93C, 0x94D, 0x9BC, 0xC55, 0xE38, 0xEBA, 0xF71, 0x1AB5,
         0x1ACA, 0x1DF7, 0x20D0, 0x20DD, 0x302A, 0x3099, 0x309A, 0xA67C, 0x8D0, 0x898, 0x1D165, 0x1E130, 0x1E8D0, 0x11930, 0x7FD)]
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ASSIGNED = [chr(c) for c in POINTS if unicodedata.category(chr(c)) not in ("Cn", "Co")]


def words(r, n, *lists):
    return [r.choice(r.choice(lists)) for _ in range(n)]


def prompt(r, n):
    return ", ".join(" ".join(words(r, r.randint(1, 5), ENGLISH)) for _ in range(n))


def mixed(r, n):
    return "".join(w + r.choice([" ", " ", "", r.choice(SPACES)]) for w in words(r, n, ENGLISH, ACCENTED, OTHER, EMOJI, MARKUP, ENGLISH_MARKS))


def shuffled_case(r, s):
    return "".join(c.upper() if r.random() < .3 else c.lower() if r.random() < .3 else c for c in s)


def letters_and_marks(r, n):
    bases = "aeiouAEIOUnscyzαιωυАЕИ가각각かハहবக𑤵ǖệ"
    return "".join(r.choice(bases) + "".join(r.choice(MARKS) for _ in range(r.choice((0, 1, 1, 2, 3, 6)))) for _ in range(n))


def word_soup(r, n):
    return "".join(r.choice("etaoinshrdlucmfwypvbgkqjxz") for _ in range(n))


KINDS = [
    lambda r: prompt(r, r.randint(1, 12)),
    lambda r: mixed(r, r.randint(1, 20)),
    lambda r: shuffled_case(r, mixed(r, r.randint(1, 12))),
    lambda r: unicodedata.normalize(r.choice(("NFD", "NFKD", "NFKC")), mixed(r, r.randint(1, 10))),
    lambda r: " ".join(words(r, r.randint(1, 12), ACCENTED)),
    lambda r: "".join(words(r, r.randint(1, 12), OTHER, SPACES)),
    lambda r: "".join(words(r, r.randint(1, 12), EMOJI, EMOJI, SPACES)),
    lambda r: "".join(words(r, r.randint(1, 12), MARKUP, ENGLISH, SPACES)),
    lambda r: "".join(words(r, r.randint(1, 16), ENGLISH_MARKS, ENGLISH_MARKS, [" "])),
    lambda r: "".join(words(r, r.randint(1, 12), CONTROLS, ENGLISH, SPACES)),
    lambda r: letters_and_marks(r, r.randint(1, 12)),
    lambda r: "".join(r.choice(ASSIGNED) for _ in range(r.randint(1, 24))),
    lambda r: "".join(chr(r.choice(POINTS)) for _ in range(r.randint(1, 16))),
    lambda r: " ".join(word_soup(r, r.randint(1, 30)) for _ in range(r.randint(1, 6))),
    lambda r: "".join(r.choice("'\"<|>startofend.,!?()[]:;-_ 019") for _ in range(r.randint(1, 40))),
    lambda r: "".join(chr(r.randint(0x20, 0x250)) for _ in range(r.randint(1, 30))),
]


def strings(count, seed):
    r = random.Random(seed)
    fixed = ["", " ", "\n\t ", "a", "<|endoftext|>", "<|startoftext|><|endoftext|>", "x" * 3000, "é" * 500, "😂" * 100,
             "a\u0301\u0316\u0334" * 50, "a" + "\u0301\u0316" * 400, " ".join(words(r, 300, ENGLISH)), mixed(r, 300), prompt(r, 120)]
    fixed = fixed[:count]
    return fixed + [KINDS[i % len(KINDS)](r) for i in range(count - len(fixed))]


def sweep():
    """Every code point of the planes in use (0-3, 14) between letters, under a mark and behind one, 32 to a string."""
    points = [c for c in POINTS if c >> 16 in (0, 1, 2, 3, 14)]
    for first in range(0, len(points), 32):
        yield "".join(f"a{chr(c)}b {chr(c)}\u0301 e\u0315{chr(c)}\u0334 " for c in points[first:first + 32])
