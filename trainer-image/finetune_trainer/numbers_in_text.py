"""Numbers as people and models write them: what rewards and benchmarks compare."""

import math
import re
from typing import Final

NUMBER: Final = re.compile(r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")
RELATIVE_ERROR: Final = 1e-6


def last_number(text: str) -> float | None:
    """The last number in a text (1,234.5 and 1e-3 too, while 1,2,3 are three), with either sign of minus;
    None where there is none."""
    found = NUMBER.findall(text.replace("\N{MINUS SIGN}", "-"))
    return float(found[-1].replace(",", "")) if found else None


def same_number(one: float, other: float) -> bool:
    """Whether they are the same, to a millionth."""
    return math.isclose(one, other, rel_tol=RELATIVE_ERROR, abs_tol=1e-9)
