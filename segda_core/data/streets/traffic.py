"""Chance fills a street with road users: driving and parked vehicles, cyclists, people."""

import math
from collections.abc import Iterator

from segda_core.data.streets.cars import CAR_MODELS
from segda_core.data.streets.draw import BICYCLE, BUS, CAR, MOTORCYCLE, TRAIN, TRUCK, Colour
from segda_core.data.streets.geometry import Frame
from segda_core.data.streets.layout import Side
from segda_core.data.streets.people import Cycle, Outfit, Walker
from segda_core.data.streets.plan import Plan, Thing
from segda_core.data.streets.vehicles import Vehicle

SKINS: tuple[Colour, ...] = ((232, 190, 160), (206, 158, 122), (150, 104, 76), (98, 66, 48))
HAIRS: tuple[Colour, ...] = ((30, 24, 22), (70, 48, 34), (150, 120, 76), (120, 118, 116))


def fill_road(plan: Plan) -> Iterator[Thing]:
    """All road users."""
    yield from _drive(plan)
    yield from _park(plan)
    yield from _ride(plan)
    yield from _walk(plan)


def _drive(plan: Plan) -> Iterator[Thing]:
    chance, layout = plan.chance, plan.layout
    waiting = [label for name, label in (("bus", BUS), ("truck", TRUCK)) if name in plan.due]
    lanes = list(layout.lanes)
    chance.shuffle(lanes)
    for x, way in lanes:
        z = chance.uniform(9, 32) if x == 0 else chance.uniform(5, 30)
        while z < 110:
            label = waiting.pop() if waiting and z > 15 else _kind(plan)
            vehicle = _vehicle(plan, label, x + chance.uniform(-0.25, 0.25), z, 0.0 if way > 0 else math.pi)
            z += vehicle.length + plan.draw(plan.look.traffic) * (0.5 + z / 60)
            yield vehicle
    if layout.tracks is not None:
        heading = chance.choice((0.0, math.pi))
        yield _vehicle(plan, TRAIN, layout.tracks, chance.uniform(12, 30), heading)
    if layout.crossing and chance.random() < 0.45:
        yield _crossing_vehicle(plan, layout.crossing)


def _crossing_vehicle(plan: Plan, crossing: tuple[float, float]) -> Vehicle:
    chance = plan.chance
    middle, quarter = sum(crossing) / 2, (crossing[1] - crossing[0]) / 4
    way = chance.choice((-1, 1))
    frame = Frame(chance.uniform(-9, 9), middle + way * quarter, way * math.pi / 2)
    label = chance.choice((CAR, CAR, CAR, CAR, CAR, CAR, TRUCK, BUS))
    return _dressed(plan, label, frame)


def _kind(plan: Plan) -> int:
    return plan.chance.choices((CAR, TRUCK, BUS), (0.97, 0.018, 0.012))[0]


def _vehicle(plan: Plan, label: int, x: float, rear: float, heading: float) -> Vehicle:
    """A vehicle whose nearer end is `rear` metres away."""
    vehicle = _dressed(plan, label, Frame(x, rear, heading))
    return Vehicle(
        Frame(x, rear + vehicle.length / 2, heading), label, vehicle.colour, vehicle.accent, vehicle.model
    )


def _dressed(plan: Plan, label: int, frame: Frame) -> Vehicle:
    look = plan.look
    if label == CAR:
        return Vehicle(
            frame, CAR, plan.tinted(look.cars), model=CAR_MODELS[plan.chance.choice(look.car_models)]
        )
    colour, accent = plan.chance.choice(look.big)
    return Vehicle(frame, label, colour, accent)


def _park(plan: Plan) -> Iterator[Thing]:
    chance = plan.chance
    edges = [x for x, _ in plan.layout.lanes]
    room = {-1: min(edges) - plan.layout.lane_width / 2, 1: max(edges) + plan.layout.lane_width / 2}
    for side in plan.layout.sides:
        if abs(side.kerb - room[side.side]) < 2:
            continue
        z = chance.uniform(2, 10)
        while z < 80:
            if chance.random() < 0.75 and not plan.blocked(z + 2, 4):
                heading = 0.0 if side.side > 0 else math.pi
                yield _vehicle(plan, CAR, side.at(-1.12), z, heading)
            z += chance.uniform(5.4, 7.2)


def _ride(plan: Plan) -> Iterator[Thing]:
    chance, layout = plan.chance, plan.layout
    cyclists = ("cyclist" in plan.due) + (chance.random() < 0.12)
    for _ in range(cyclists):
        yield Cycle(_riding_frame(plan), BICYCLE, plan.tinted(plan.look.cars), _outfit(plan, 0.5))
    if "motorcyclist" in plan.due or chance.random() < 0.04:
        yield Cycle(_riding_frame(plan), MOTORCYCLE, plan.tinted(plan.look.cars), _outfit(plan, 1.0))
    for side in layout.sides:
        if chance.random() < 0.3:
            yield from _stand(plan, side, BICYCLE, chance.randint(1, 3))
        if side.side > 0 and "motorcycle" in plan.due:
            yield from _stand(plan, side, MOTORCYCLE, chance.randint(1, 2))


def _riding_frame(plan: Plan) -> Frame:
    """On the road: across it at the side street, or along it near the middle of a gap beside the lane."""
    chance, layout = plan.chance, plan.layout
    if chance.random() < 0.4:
        z = layout.crossing[0] - 3 if layout.crossing else chance.uniform(8, 18)
        return Frame(
            chance.uniform(-3.0, 3.0), z, chance.choice((-1, 1)) * math.pi / 2 + chance.uniform(-0.3, 0.3)
        )
    x, way = chance.choice(layout.lanes)
    aside = layout.lane_width / 2 - 0.4
    return Frame(x + way * aside, chance.uniform(6.5, 15), 0.0 if way > 0 else math.pi)


def _stand(plan: Plan, side: Side, label: int, count: int) -> Iterator[Thing]:
    chance, z = plan.chance, plan.chance.uniform(6, 17)
    inside = side.at(side.verge + (0.7 if label == MOTORCYCLE else side.sidewalk * 0.75))
    for _ in range(count):
        heading = chance.choice((-1, 1)) * (math.pi / 2 + chance.uniform(-0.35, 0.35))
        yield Cycle(Frame(inside, z, heading), label, plan.tinted(plan.look.cars))
        z += chance.uniform(0.9, 1.6)


def _walk(plan: Plan) -> Iterator[Thing]:
    chance, layout = plan.chance, plan.layout
    for _ in range(round(plan.draw(plan.look.walkers))):
        side = chance.choice(layout.sides)
        x = side.at(side.verge + side.sidewalk * chance.uniform(0.25, 0.85))
        z = chance.uniform(6, 20) if chance.random() < 0.5 else chance.uniform(20, 60)
        if not plan.blocked(z):
            yield _walker(plan, x, z)
            if chance.random() < 0.3:
                yield _walker(plan, x + side.side * 0.55, z + chance.uniform(-0.2, 0.3))
    if layout.crossing and layout.zebra and chance.random() < 0.6:
        for _ in range(chance.randint(1, 3)):
            x = chance.uniform(layout.sides[0].kerb, layout.sides[1].kerb)
            yield _walker(plan, x, layout.crossing[0] - chance.uniform(2, 4))


def _walker(plan: Plan, x: float, z: float) -> Walker:
    chance = plan.chance
    height = chance.uniform(1.05, 1.4) if chance.random() < 0.1 else chance.uniform(1.55, 1.9)
    bag = plan.tinted(plan.look.clothes) if chance.random() < 0.3 else None
    return Walker(Frame(x, z), height, chance.uniform(-0.26, 0.26), _outfit(plan, 0.0), bag)


def _outfit(plan: Plan, helmet: float) -> Outfit:
    chance, look = plan.chance, plan.look
    return Outfit(
        top=plan.tinted(look.clothes),
        trousers=chance.choice(((40, 44, 62), (52, 50, 48), (30, 30, 34), (110, 100, 84), (70, 84, 120))),
        skin=chance.choice(SKINS),
        hair=chance.choice(HAIRS),
        helmet=plan.tinted(look.cars) if chance.random() < helmet else None,
    )
