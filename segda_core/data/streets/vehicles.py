"""Everything with four wheels or more, placed in a street."""

from dataclasses import dataclass

from segda_core.data.streets.cars import SEDAN, CarModel, paint_car
from segda_core.data.streets.coaches import paint_bus, paint_tram, paint_truck
from segda_core.data.streets.draw import BUS, CAR, TRAIN, TRUCK, Canvas, Colour
from segda_core.data.streets.geometry import Caster, Frame


@dataclass(frozen=True)
class Vehicle:
    """Anything with four wheels or more; `label` decides which."""

    frame: Frame
    label: int
    colour: Colour
    accent: Colour = (230, 230, 226)
    """Cargo box of a truck, stripe of a bus or tram."""
    model: CarModel = SEDAN

    @property
    def depth(self) -> float:
        """Distance that orders painting."""
        return self.frame.z

    @property
    def length(self) -> float:
        """Metres from bumper to bumper."""
        return {TRUCK: 8.4, BUS: 11.5, TRAIN: 27.0}.get(self.label, self.model.length)

    def caster(self) -> Caster:
        """What casts its shadow."""
        half = {CAR: self.model.width / 2}.get(self.label, 1.25)
        height = {CAR: self.model.roof * 0.8}.get(self.label, 2.9)
        end = self.length / 2
        corners = ((-half, end), (half, end), (half, -end), (-half, -end))
        return [self.frame.at(across, 0.0, along) for across, along in corners], 0.0, height

    def paint(self, canvas: Canvas) -> None:
        """Paint it."""
        if self.label == CAR:
            paint_car(canvas, self.frame, self.model, self.colour)
        else:
            painter = {TRUCK: paint_truck, BUS: paint_bus, TRAIN: paint_tram}[self.label]
            painter(canvas, self.frame, self.colour, self.accent)
