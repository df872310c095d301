"""A street's plan: its lanes, its two sides, its colours."""

from dataclasses import dataclass

from segda_core.data.streets.draw import Colour


@dataclass(frozen=True)
class Side:
    """One side of the street, in metres from the kerb outwards."""

    side: int
    """-1 on the left, 1 on the right."""
    kerb: float
    """Position of the kerb."""
    verge: float
    """Width of the grass between kerb and pavement."""
    sidewalk: float
    """Width of the pavement."""
    setback: float
    """Metres from pavement to buildings."""
    kind: str
    """What lines it: city, suburb, park or works."""

    def at(self, metres: float) -> float:
        """Position so many metres outside the kerb."""
        return self.kerb + self.side * metres

    @property
    def edge(self) -> float:
        """Width of verge and pavement."""
        return self.verge + self.sidewalk

    @property
    def facade(self) -> float:
        """Position of the buildings."""
        return self.at(self.edge + self.setback)


@dataclass(frozen=True)
class Layout:
    """The street's plan."""

    lanes: tuple[tuple[float, int], ...]
    """Middle of each lane, and 1 where it leads away or -1 where it comes."""
    lane_width: float
    centre: float
    """Where the directions part."""
    sides: tuple[Side, Side]
    crossing: tuple[float, float] | None
    """Nearer and farther edge of a side street."""
    zebra: bool
    tracks: float | None
    """Middle of a tram track."""
    double_line: bool


@dataclass(frozen=True)
class Ground:
    """Colours of one street's ground."""

    asphalt: Colour
    paving: Colour
    kerb: Colour
    grass: Colour
    marking: Colour
    centre_line: Colour
    grain: float
