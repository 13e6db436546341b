"""A black page with a title, the research notice, panels and text, and what may be written and drawn on it."""

from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dicom_node.encoding.sentences import plain

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]
Picture = npt.NDArray[np.uint8]

PAGE = 1024
"""Pixels along each side."""
MARGIN = 24
HEADER = 64
WHITE, GREY, BLACK = (255, 255, 255), (170, 170, 170), (0, 0, 0)
AMBER = (255, 176, 0)
"""Of outlines and marks: lighter than contrast at window 600/200 mostly is, and rimmed with black where it is not."""
TITLE, HEADLINE, TEXT, SMALL = 30, 25, 21, 17
LOWEST = 986
"""Pixels from above to where text must end, so that the footer stays free."""
NOTICE = "For research use only. Not for diagnosis."


class Sheet:
    """A page, or a part of one. Positions are pixels (x, y) from its upper left corner."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.draw = ImageDraw.Draw(image)

    def part(self, box: Box) -> "Sheet":
        """A copy of a part of the page, to be drawn on by itself; positions are from its own corner."""
        return Sheet(self.image.crop(box))

    def text(
        self,
        place: tuple[float, float],
        words: str,
        *,
        size: int = TEXT,
        colour: Colour = WHITE,
        anchor: str = "la",
        rim: int = 0,
    ) -> None:
        """Writes a line; anchor as Pillow has it; rim: pixels of black around it, to be read on bone as on air."""
        self.draw.text(place, words, colour, _font(size), anchor, stroke_width=rim, stroke_fill=BLACK)

    def paragraph(self, top: int, words: str, *, size: int = TEXT, colour: Colour = WHITE, left: int = MARGIN) -> int:
        """Writes words over as many lines as they need between `left` and the right margin; the y below them."""
        for line in _lines(words, size, PAGE - MARGIN - left):
            if top + size > LOWEST:
                self.text((left, top - round(size * 0.45)), "...", size=size, colour=colour)
                return top
            top = self._line(left, top, line, size, colour)
        return top

    def _line(self, left: int, top: int, line: str, size: int, colour: Colour) -> int:
        self.text((left, top), line, size=size, colour=colour)
        return top + round(size * 1.45)

    def paste(self, picture: Picture, corner: tuple[int, int]) -> None:
        """Puts a (rows, columns) uint8 grey picture with its upper left pixel at `corner`."""
        self.image.paste(Image.fromarray(picture), corner)

    def tint(self, mask: npt.NDArray[np.bool_], corner: tuple[int, int], colour: Colour = AMBER) -> None:
        """Colours the pixels of a (rows, columns) mask whose upper left one lies at `corner`."""
        stencil = Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0)))
        self.image.paste(colour, (*corner, corner[0] + mask.shape[1], corner[1] + mask.shape[0]), stencil)

    def pixels(self) -> Picture:
        """(1024, 1024, 3) uint8 RGB."""
        return np.asarray(self.image)


def new_sheet(title: str) -> Sheet:
    """An empty page with its title and the research notice."""
    sheet = Sheet(Image.new("RGB", (PAGE, PAGE), BLACK))
    sheet.text((MARGIN, HEADER // 2), title, size=TITLE, anchor="lm")
    sheet.text((PAGE - MARGIN, HEADER // 2), NOTICE, size=TEXT, colour=AMBER, anchor="rm")
    return sheet


def text_size(words: str, size: int) -> tuple[float, float]:
    """Width and height in pixels that a line takes."""
    left, top, right, bottom = _font(size).getbbox(words)
    return right - left, bottom - top


def statement_page(title: str, sentences: list[str], footer: list[str]) -> Picture:
    """A page of words alone: nothing was found, or the series was not analysed."""
    sheet = new_sheet(title)
    top = HEADER + 60
    for number, sentence in enumerate(sentences):
        top = sheet.paragraph(top, sentence, size=HEADLINE if number == 0 else TEXT) + 24
    write_footer(sheet, footer)
    return sheet.pixels()


def write_footer(sheet: Sheet, lines: list[str]) -> None:
    """What made the page, in small grey letters at its lower edge."""
    for number, line in enumerate(reversed(lines)):
        sheet.text((MARGIN, PAGE - 14 - number * 24), plain(line), size=SMALL, colour=GREY, anchor="ls")


def _lines(words: str, size: int, width: int) -> list[str]:
    """Lines that fit into a width in pixels; a word that alone does not is cut."""
    lines = [""]
    for word in words.split():
        rest = word
        while rest:
            longer = f"{lines[-1]} {rest}".strip()
            if _font(size).getlength(longer) <= width:
                lines[-1], rest = longer, ""
            elif lines[-1]:
                lines.append("")
            else:
                fits = max(n for n in range(1, len(rest) + 1) if n == 1 or _font(size).getlength(rest[:n]) <= width)
                lines[-1], rest = rest[:fits], rest[fits:]
                lines.append("")
    return [line for line in lines if line]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
