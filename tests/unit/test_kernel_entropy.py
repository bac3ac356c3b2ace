"""Everything random follows from the seed, process by process."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

from typing import Any

from tests.unit.kernel_harness import real, simulated

FACES = ("time", "entropy")


def run(body: Any, *args: Any, **options: Any) -> Any:
    return simulated(body, *args, faces=FACES, **options)


def draw_everything() -> Any:
    import os
    import random
    import secrets
    import ssl
    import tempfile
    import uuid

    return {
        "urandom": os.urandom(16),
        "long": os.urandom(100_000)[-8:],
        "getrandom": os.getrandom(16),
        "random": random.random(),
        "gauss": random.gauss(0.0, 1.0),
        "shuffle": random.sample(range(1000), 5),
        "Random": random.Random().random(),
        "SystemRandom": random.SystemRandom().random(),
        "secrets": secrets.token_hex(),
        "uuid1": uuid.uuid1().hex,
        "uuid4": uuid.uuid4().hex,
        "ssl": ssl.RAND_bytes(16),
        "tempfile": os.path.basename(tempfile.mktemp()),
    }


def test_the_same_seed_gives_the_same_and_another_seed_another() -> None:
    first, again, other = run(draw_everything), run(draw_everything), run(draw_everything, seed=2)
    assert first == again
    assert [name for name in first if first[name] == other[name]] == []


def test_seeds_given_by_the_program_mean_what_they_mean_everywhere() -> None:
    def body():
        import random

        random.seed(42)
        texts = [random.Random(seed).random() for seed in (7, "seven", b"seven", 7.5, bytearray(b"x"))]
        old = random.Random()
        old.seed("seven", 1)
        return random.random(), texts, old.random(), attempt(random.seed, []), attempt(random.Random, {})

    assert run(body) == real(body)


def test_generators_made_while_modules_were_imported_get_the_seed_of_the_run() -> None:
    def before():
        import random

        harness.unseeded = random.Random()
        harness.seeded_later = random.Random()
        harness.seeded_later.seed(5)
        harness.seeded = random.Random(5)
        harness.early = random.random

    def body():
        import random

        return (
            harness.unseeded.random(),
            harness.early(),
            random.random(),
            harness.seeded.random(),
            harness.seeded_later.random(),
        )

    first, other = run(body, before=before), run(body, before=before, seed=2)
    assert first == run(body, before=before)
    assert len({*first, *other}) == 2 * 3 + 1
    assert first[3] == first[4] == other[3] == other[4]


def draw_beside_another_process(draws: int) -> Any:
    """What a process draws while another one draws `draws` times from everything, turn by turn."""
    import os
    import random

    world = harness.World.current

    def other() -> None:
        for number in range(draws):
            random.seed(number)
            random.gauss(0.0, 1.0)
            os.urandom(16)
            random.Random()
            core.K.park("other", core.K.now + 1_000_000)

    world.start(world.process("beta", "other", 200), other)
    out = []
    for _ in range(4):
        core.K.park("program", core.K.now + 1_000_000)
        out.append((random.random(), random.gauss(0.0, 1.0), os.urandom(4), random.Random().random()))
    return out


def test_what_one_process_draws_moves_nothing_in_another() -> None:
    assert run(draw_beside_another_process, 4) == run(draw_beside_another_process, 0)


def test_two_processes_draw_differently() -> None:
    def body():
        import os
        import random

        world, seen = harness.World.current, []

        def draw():
            seen.append((os.urandom(8), random.random(), random.Random().random()))

        world.start(world.process("beta", "program", 100), draw)
        world.start(world.process("alpha", "program", 101), draw)
        draw()
        core.K.park("program", core.K.now + 1_000_000)
        return len(seen), len({value for values in seen for value in values})

    assert run(body) == (3, 9)


def test_uuids_are_of_their_kind_and_know_their_host() -> None:
    def body():
        import time
        import uuid

        world = harness.World.current
        four = uuid.uuid4()
        ones = [uuid.uuid1() for _ in range(3)]
        nodes = [uuid.getnode(), uuid.getnode()]
        world.start(world.process("beta", "other", 7), lambda: nodes.append(uuid.getnode()))
        core.K.park("other", core.K.now + 1_000)
        since_1582 = (time.time_ns() // 100 + 0x01B21DD213814000) - ones[0].time
        explicit = uuid.uuid1(node=5, clock_seq=9)
        return (
            (four.version, four.variant == uuid.RFC_4122),
            [one.version for one in ones], ones[0].time < ones[1].time < ones[2].time, 0 < since_1582 < 1000,
            nodes[0] == nodes[1] == ones[0].node, nodes[0] != nodes[2], nodes[0] >> 40 & 3,
            (explicit.node, explicit.clock_seq),
        )  # fmt: skip

    assert run(body) == ((4, True), [1, 1, 1], True, True, True, True, 2, (5, 9))


def test_refused_arguments_are_refused_as_by_the_real_module() -> None:
    def body():
        import os

        return [
            attempt(os.urandom, -1), attempt(os.urandom, "x"), attempt(os.urandom, 1.0), attempt(os.urandom, 0),
            attempt(os.getrandom, -1), attempt(os.getrandom, 1, 128), attempt(os.getrandom, "x"),
            len(os.urandom(True)), len(os.getrandom(5, os.GRND_NONBLOCK)), len(os.getrandom(size=5, flags=0)),
        ]  # fmt: skip

    assert run(body) == real(body)


def test_pieces_of_any_size_are_random_and_of_that_size() -> None:
    def body():
        import os

        pieces = [os.urandom(size) for size in (0, 1, 1023, 1, 1024, 511, 513, 512, 5000, 2)]
        return [len(piece) for piece in pieces], len({piece[:4] for piece in pieces if len(piece) > 4}), os.urandom(0)

    assert run(body) == ([0, 1, 1023, 1, 1024, 511, 513, 512, 5000, 2], 6, b"")


def test_numpy_follows_the_seed_unless_it_was_given_one() -> None:
    def before():
        import numpy.random

        harness.numpy = numpy.random

    def before_with_seed():
        import numpy.random

        harness.numpy = numpy.random
        harness.numpy.seed(3)

    def body():
        return float(harness.numpy.default_rng().random()), float(harness.numpy.random())

    first, other, seeded = (
        run(body, before=before),
        run(body, before=before, seed=2),
        run(body, before=before_with_seed),
    )
    assert first == run(body, before=before)
    assert first[0] != other[0]
    assert first[1] != other[1]
    assert seeded[1] == run(body, before=before_with_seed, seed=2)[1]
