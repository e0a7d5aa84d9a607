"""How texts are searched: each word of what is asked is a part of the text, whatever its language (decision 53).

Chinese has no blanks between words, so there is no dictionary: texts are compared in one writing. Where they are in an
index, their pairs of characters are what it holds.
"""

import unicodedata


def plain_text(text: str) -> str:
    """A text as search compares it: one width of letters and figures (NFKC), no capitals."""
    return unicodedata.normalize("NFKC", text).casefold()


def words_of(query: str) -> list[str]:
    """What is asked, word by word, as search compares it."""
    return plain_text(query).split()


def pairs_of(text: str) -> list[str]:
    """Every two characters that stand side by side in a plain text; the last of a run between blanks stands alone.

    So each character begins one of them, and a word of the text has all its pairs among them.
    """
    return sorted({run[at : at + 2] for run in text.split() for at in range(len(run))})


def pairs_within(word: str) -> list[str]:
    """The pairs that a text with this word in it has; none for a single character."""
    return list(dict.fromkeys(word[at : at + 2] for at in range(len(word) - 1)))
