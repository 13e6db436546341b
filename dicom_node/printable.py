"""What peers, files and libraries say may hold control characters, and a terminal obeys them."""


def printable(text: str) -> str:
    """`text` with "?" for every control character: escape sequences, line feeds, marks that turn the direction."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
