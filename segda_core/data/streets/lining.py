"""Chance lines a street's sides: buildings, yards, parks, walls and fences, trees, posts."""

from collections.abc import Iterator

from segda_core.data.streets.draw import FENCE, WALL, Colour
from segda_core.data.streets.furniture import LAMPS, Post
from segda_core.data.streets.layout import Side
from segda_core.data.streets.plan import Plan, Thing
from segda_core.data.streets.town import Barrier, BarrierStyle, Building
from segda_core.data.streets.trees import Tree

REACH = 170.0
"""Metres along which the street is lined."""


def line_sides(plan: Plan) -> Iterator[Thing]:
    """Everything that stands still beside the road, and what closes the view at its end."""
    for side in plan.layout.sides:
        if side.kind == "park":
            yield from _park(plan, side)
        else:
            yield from _buildings(plan, side)
        yield from _barriers(plan, side)
        yield from _kerb_trees(plan, side)
        yield from _posts(plan, side)
    yield from _horizon(plan)


def _buildings(plan: Plan, side: Side) -> Iterator[Thing]:
    chance, crossing = plan.chance, plan.layout.crossing
    z = chance.uniform(-12, 0)
    while z < REACH:
        length = chance.uniform(8, 13) if side.kind == "suburb" else chance.uniform(9, 26)
        if crossing and z < crossing[0] - 1.0 < z + length:
            length = crossing[0] - 1.0 - z
        if length > 4 and z + length > 2:
            yield _building(plan, side, max(z, 1.5), length - max(0.0, 1.5 - z))
        z += length
        if crossing and crossing[0] - 1.5 <= z < crossing[1] + 1.0:
            z = crossing[1] + 1.0
        elif side.kind == "suburb" or chance.random() < 0.12:
            gap = chance.uniform(3, 8)
            yield _tree(plan, side.facade + side.side * chance.uniform(2, 6), z + gap / 2, 1.0)
            z += gap


def _building(plan: Plan, side: Side, start: float, length: float) -> Building:
    chance, look = plan.chance, plan.look
    low, high = look.storeys
    storeys = {"suburb": chance.randint(1, 3), "works": chance.randint(2, 3)}.get(side.kind, 0)
    storeys = storeys or round(chance.triangular(low, high, low + (high - low) * 0.35))
    storey = 4.2 if side.kind == "works" else chance.uniform(2.9, 3.6)
    pitched = storeys <= 4 and side.kind != "works" and chance.random() < look.pitched
    return Building(
        side=side.side,
        x=side.facade + side.side * chance.choice((0.0, 0.0, chance.uniform(0, 1.5))),
        start=start,
        length=length,
        height=storeys * storey + 1.2,
        colour=plan.tinted(look.walls, 14),
        trim=plan.tinted(look.trims),
        roof=plan.tinted(look.roofs) if pitched else None,
        storey=storey,
        window=(chance.uniform(0.35, 0.75), chance.uniform(0.42, 0.68)),
        seed=chance.getrandbits(32),
    )


def _park(plan: Plan, side: Side) -> Iterator[Thing]:
    z = 7.0
    while z < 130:
        if not plan.blocked(z):
            for row in (2.5, 8.0):
                x = side.at(side.edge + row + plan.draw((-1.2, 2.0)))
                yield _tree(plan, x, z + plan.draw((0, 3)), plan.draw((0.9, 1.35)))
        z += plan.draw((4, 7)) * (1 + z / 90)


def _barriers(plan: Plan, side: Side) -> Iterator[Thing]:
    chance = plan.chance
    wanted = [
        name for name in ("wall", "fence") if name in plan.due and side.side == (-1 if name == "wall" else 1)
    ]
    if side.kind in ("suburb", "park", "works") and chance.random() < 0.6:
        wanted.append(chance.choice(("wall", "fence")))
    if not wanted:
        return
    style, height, colour = _barrier_style(plan, wanted[0])
    z, end = chance.uniform(2, 8), chance.uniform(30, 75)
    while z < end:
        length = 5.0
        if not plan.blocked(z + length / 2, length / 2 + 1):
            label = WALL if wanted[0] == "wall" else FENCE
            yield Barrier(label, side.side, side.at(side.edge), z, length, height, colour, style)
        z += length


def _barrier_style(plan: Plan, name: str) -> tuple[BarrierStyle, float, Colour]:
    chance = plan.chance
    if name == "wall":
        return "solid", chance.uniform(1.3, 2.6), plan.tinted(plan.look.masonry)
    styles: tuple[BarrierStyle, ...] = ("solid", "bars", "bars", "rail")
    style = chance.choice(styles)
    return style, 0.85 if style == "rail" else chance.uniform(1.2, 1.9), plan.tinted(plan.look.fences)


def _kerb_trees(plan: Plan, side: Side) -> Iterator[Thing]:
    chance = plan.chance
    if chance.random() > 0.62 and not side.verge:
        return
    spacing, z = chance.uniform(9, 17), chance.uniform(8, 18)
    metres = side.verge / 2 if side.verge else min(0.8, side.sidewalk / 2)
    while z < 90:
        if not plan.blocked(z, 3):
            yield _tree(plan, side.at(metres), z, 0.8, street=True)
        z += spacing * chance.uniform(0.8, 1.3)


def _tree(plan: Plan, x: float, z: float, scale: float, street: bool = False) -> Tree:
    chance = plan.chance
    kind = chance.choice(plan.look.trees)
    if street and kind == "bush":
        kind = "broad"
    height, radius = {
        "broad": (chance.uniform(6, 10.5), chance.uniform(1.9, 3.2)),
        "conifer": (chance.uniform(7, 13), chance.uniform(1.5, 2.4)),
        "palm": (chance.uniform(7, 12), chance.uniform(2.0, 2.9)),
        "bush": (chance.uniform(1.2, 2.6), chance.uniform(1.0, 2.0)),
    }[kind]
    colour = plan.tinted(plan.look.foliage)
    return Tree(x, z, height * scale, radius * scale, colour, kind, chance.getrandbits(32))


def _posts(plan: Plan, side: Side) -> Iterator[Thing]:
    chance, look = plan.chance, plan.look
    steel = plan.tinted(look.steel)
    z = chance.uniform(6, 22)
    while z < 100:
        if not plan.blocked(z):
            yield Post("lamp", side.at(0.5), z, -side.side, chance.uniform(6, 8.5), steel)
        z += chance.uniform(20, 30)
    for _ in range(chance.randint(0, 2)):
        z = chance.uniform(7, 36)
        height = chance.uniform(2.2, 2.8)
        if not plan.blocked(z):
            yield Post("sign", side.at(0.55), z, -side.side, height, steel, chance.choice(look.signs))
    if chance.random() < 0.3:
        yield Post("bin", side.at(0.7), chance.uniform(6, 24), 1, 1.0, plan.tinted(look.fences))
    if chance.random() < 0.1:
        face = chance.choice(("street", "crossing"))
        yield Post("gantry", side.at(0.6), chance.uniform(22, 50), -side.side, 5.4, steel, face)
    yield from _traffic_lights(plan, side, steel)


def _traffic_lights(plan: Plan, side: Side, steel: Colour) -> Iterator[Thing]:
    chance, crossing = plan.chance, plan.layout.crossing
    lamp = chance.choice(list(LAMPS))
    if crossing is None or not plan.layout.zebra:
        if chance.random() < 0.12:
            yield Post("light", side.at(0.5), chance.uniform(12, 36), -side.side, 3.4, steel, lamp)
        return
    over_road = chance.random() < plan.look.signal_arms
    z = crossing[1] + 1.5 if over_road or side.side < 0 else crossing[0] - 1.5
    yield Post("light", side.at(0.5), z, -side.side, 5.8 if over_road else 3.4, steel, lamp)


def _horizon(plan: Plan) -> Iterator[Thing]:
    """Buildings and trees far off, so that the road does not end in the sky."""
    chance = plan.chance
    for _ in range(chance.randint(5, 12)):
        x = chance.uniform(-70, 70)
        if chance.random() < 0.5:
            z = chance.uniform(200, 260)
            yield Tree(
                x,
                z,
                chance.uniform(6, 14),
                chance.uniform(6, 14),
                plan.tinted(plan.look.foliage),
                "bush",
                chance.getrandbits(32),
            )
        else:
            side = Side(1 if x > 0 else -1, x, 0.0, 0.0, 0.0, "city")
            yield _building(plan, side, chance.uniform(180, 240), chance.uniform(12, 30))
