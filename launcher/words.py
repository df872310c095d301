"""Numbers in words, alike in everything that a user reads."""


def percent(fraction: float | None) -> str:
    """A fraction as percent with two decimals; a dash for none."""
    return "-" if fraction is None else f"{100 * fraction:.2f}"


def several(count: int, noun: str) -> str:
    """A number of things: `1 trial`, `2 trials`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds for people: `42 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def counted(words: str, count: int) -> str:
    """`1 label resized`, `2 labels resized`."""
    *noun, verb = words.split()
    return f"{several(count, ' '.join(noun))} {verb}"
