"""Prompts that are hard for a grammar, the same ones for the same seed."""
import random

FIXED = [
    "", " ", "test", "a [b:3]", "a [b: 3]", "a [b : c : 1] d", "a [[[b]]:2]", "[(a:2):3]", "a[b:[c:d:2]:1]e", "a [unbalanced", "a [b:.5] c",
    "a [{b|d{:.5] c", "[a|(b:1.1)]", "[fe|]male", "[fe|||]male", "[a|b|c] [d|e]", "[:3]", "[::3]", "[a::3]", "[:a:3]", "[a:1e1]", "[a:-1]", "[a:+2]",
    "[a:1.]", "[a:1.0]", "[a:0]", "[a:0.04]", "[a:b:0]", "[a:99]", "[a:b:c:3]", "[a:0.5:b:3]", "[[a|b]:3]", "[[a|b]|c]", "[a\\:b:3]", "\\[a:3]", "[a:3\\]", "a\\",
    "a|b", "[a:3] b|c", "([a:b]:3) [c:2]", "[x[a:b]:3]", "(a|b)", "[a:b|c:3]", "[ a : b : 3 ]", "[a:b:0.5]", "[a:b:1.5]", "[a:b:15]", "x:[a:3]",
    "a AND b", "a :2 AND b:0.5", "a AND b :-0.5 AND c", "aAND b", "a ANDb AND", "AND", "a AND AND b", "a cat:1.2", "a:1.2.3 AND b:.5", "a:1. ", "(a:1.2) AND [b:c:4] :1.1",
    "[a AND b:3]", "Ünd AND über", "éAND x", "a AND\nb :3\n", "a\u3000:2\u3000", "\u00a0a AND b: +.75",
    "<lora:a:1>", "a <lora:a:0.8> b <lora:b> c", "<hypernet:x:1>y<lora:z:te=0.5:unet=.25>", "<lora:a=b=c:1>", "<hyper:x <b:y>", "<a <lora:x:1>", "<lora:>", "< lora:x>", "<lora:x:1",
    "<loré:x>", "[<lora:a:1>:10]", "<lora:a\nb:1>", "a <lora:x:1:IND:w=2> AND <lyco:y:1:0.5:8>", "<lora:x:1>>", "<<lora:x:1>>", "\\<lora:x:1>(",
    "(a:1.1) <lora:b:1> [c:d:5] AND e:2 BREAK f", "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
]

TEXTS = [
    "normal text", "an (important) word", "(unbalanced", "\\(literal\\]", "(unnecessary)(parens)", "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
    "", "()", "[]", "(:1.2)", "a:b", "a:1.2)", "(a: 1.3 )", "(a :1.3)", "(a:1.3:1.2)", "((a:0.5))", "[a:1.2)", "(a]", "[(a)]", "\\\\(a)", "a\\b", "a\\", "\\:", "(a\\):1.2)",
    "a BREAK b", "BREAK", "a BREAK", "BREAK a", "a BREAK BREAK b", "aBREAK b", "a, BREAK, b", "(a BREAK b)", "(a BREAK b:1.2)", "a\n\nBREAK\n\nb", "a:BREAK:b", "éBREAK", "a_BREAK",
    "(a:-1)", "(a:+0.5)", "(a:.5)", "(a:5.)", "(a:0)", "(a:1e1)", "(a:1,2)", "(a)\u00a0(b:\u30001.5\u2003)", "[[[[a]]]] b", "(a)b(c)", "(cat)s", "x((((((((y))))))))", ")))a(((", "(a[b)c]d",
    "tiny, embedded word, tiny", "(tiny:1.2) BREAK tiny tiny", "<|endoftext|> a", "don't (it's:1.1)",
]
WORDS = "cat dog house tree sunset portrait masterpiece supercalifragilistic détaillé 東京 8k don't tiny".split()


def name(r):
    return " ".join(r.choice(WORDS) for _ in range(r.randint(1, 3)))


def number(r):
    return r.choice(["1", "3", "0.5", ".25", "7", "1.2", "10", "0.95", "2.", "-0.5", "+1"])


def space(r):
    return r.choice(["", "", "", " ", "  ", "\n"])


def piece(r, depth):
    kind = r.randint(0, 11) if depth else 0
    inside = lambda: tree(r, depth - 1)
    return [lambda: name(r), lambda: f"({inside()})", lambda: f"[{inside()}]", lambda: f"({inside()}:{space(r)}{number(r)}{space(r)})",
            lambda: f"[{inside()}:{space(r)}{number(r)}{space(r)}]", lambda: f"[{inside()}:{inside()}:{number(r)}]", lambda: f"[{inside()}::{number(r)}]",
            lambda: "[" + "|".join(inside() for _ in range(r.randint(2, 4))) + "]", lambda: f"<lora:{name(r).split()[0]}:{number(r)}>",
            lambda: r.choice(["\\(", "\\)", "\\[", "\\]", "\\\\", "\\:", "\\|"]), lambda: " BREAK ", lambda: r.choice([",", ", ", ": ", " :) "])][kind]()


def tree(r, depth):
    return "".join(piece(r, depth) + space(r) for _ in range(r.randint(0 if depth else 1, 3)))


def noise(r):
    return "".join(r.choice(["[", "]", "(", ")", ":", "|", "\\", " ", "a", "b", "AND", "BREAK", "0.5", "3", ":3]", ":1.2)", "<lora:x:1>", ",", "é"]) for _ in range(r.randint(1, 18)))


def prompts(count, seed):
    r = random.Random(seed)
    made = list(FIXED)
    while len(made) < count:
        kind = r.random()
        if kind < .65:
            made.append(tree(r, 3))
        elif kind < .85:
            made.append(r.choice([" AND ", "AND", " and ", " AND\n"]).join(tree(r, 2) + r.choice(["", "", ":" + number(r), " : " + number(r) + " "]) for _ in range(r.randint(2, 4))))
        else:
            made.append(noise(r))
    return [p for p in made[:count] if len(p) < 300]


def texts(count, seed):
    """For the second half of the grammar: emphasis and chunks."""
    r = random.Random(seed)
    made = list(TEXTS)
    while len(made) < count:
        kind = r.random()
        if kind < .3:
            made.append(tree(r, 3))
        elif kind < .5:
            made.append(noise(r))
        else:
            commas = r.choice([.02, .06, .15, .4])
            words = [r.choice(WORDS) + ("," if r.random() < commas else " BREAK" if r.random() < .01 else "") for _ in range(r.randint(60, 160))]
            if r.random() < .5:
                words[r.randrange(len(words))] += f" ({' '.join(words[:r.randint(1, 90)])}:{number(r)})"
            made.append(" ".join(words))
    return made[:count]
