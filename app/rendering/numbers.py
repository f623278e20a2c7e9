"""How numbers are written on pages: short, with the digits that mean something."""

from __future__ import annotations

import math
from datetime import UTC, datetime

MINUS = "−"


def count(number: int) -> str:
    """1048576 -> `1,048,576`."""
    return f"{number:,}"


def compact(number: float) -> str:
    """A count in few characters: 950 -> `950`, 1048576 -> `1.05M`."""
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{suffix}"
    return f"{number:.0f}"


def decimals(maximum: float) -> int:
    """Digits after the point that show values up to `maximum` with three significant ones."""
    if not maximum > 0 or not math.isfinite(maximum):
        return 2
    return min(9, max(0, 2 - math.floor(math.log10(maximum))))


def activation(value: float, maximum: float) -> str:
    """An activation, with the precision that fits its feature's maximum."""
    return f"{value:.{decimals(maximum)}f}"


def signed(value: float, digits: int = 2) -> str:
    """A change: always with its sign, and a true minus."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", MINUS)


def nats(value: float) -> str:
    """A change of the loss: three digits below one nat, and `0` only for exactly 0."""
    if value == 0:
        return "0"
    text = f"{value:+.3f}" if -1 < value < 1 else f"{value:+.2f}"
    if text in ("+0.000", "-0.000"):
        text = f"{value:+.0e}"
    return text.replace("-", MINUS)


def share(value: float) -> str:
    """A share of one as per cent in a column, one digit after the point: 0.023 -> `2.3 %`."""
    return f"{100 * value:.1f} %"


def percent(part: float) -> str:
    """A share, which lies between 0 and 1, with three significant digits: 0.0031 -> `0.310 %`.

    What lies elsewhere is no share: see `quotient`, as which it is written.
    """
    if not 0 <= part <= 1:
        return quotient(part)
    per_cent = 100 * part
    if per_cent >= 99.95:  # three digits of it are those of 100
        return "100 %"
    if per_cent == 0:
        return "0 %"
    if per_cent < 0.0001:
        return f"{per_cent:.1e} %"
    return f"{per_cent:.{2 - math.floor(math.log10(per_cent))}f} %"


def quotient(value: float | None) -> str:
    """A quotient, which may be negative or beyond one, as per cent: -2.06 -> `−206 %`.

    Three significant digits, and beyond 100 % one digit after the point, so that 1.004 is not
    written as 100 %; a dash where there is none.
    """
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size <= 0.9995:
        written = percent(size)
    else:
        written = f"{100 * size:,.{1 if size < 10 else 0}f}".removesuffix(".0") + " %"
    return f"{MINUS if value < 0 else ''}{written}"


def number(value: float | None, digits: int = 3) -> str:
    """Any figure, `digits` after the point; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.{digits}f}".replace("-", MINUS)


def size(n_bytes: int) -> str:
    """Bytes in the unit that suits them: `812 B`, `1.4 kB`, `12.3 MB`."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    value = float(n_bytes)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95 or unit == "TB":
            break
    return f"{value:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """A length of time: `42 s`, `3 min`, `1 h 05 min`."""
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole < 600 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(seconds: float) -> str:
    """A time as a reader takes it, in UTC; empty: not known."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC" if seconds > 0 else ""
    except (ValueError, OverflowError, OSError):
        return ""
