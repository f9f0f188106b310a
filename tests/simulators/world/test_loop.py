"""Virtual time, order, and the ends of a world that cannot go on."""

import asyncio
import contextlib

import pytest

from simulators.world.loop import DeadlinePassed, Deadlock, Livelock, LoopLimits
from simulators.world.world import World


def test_thirty_minutes_pass_at_once():
    async def main(world):
        before = world.loop.time()
        await asyncio.sleep(30 * 60)
        return world.loop.time() - before

    with World(1) as world:
        assert world.run("server", main(world)) == 30 * 60


def test_timers_of_one_instant_fire_in_the_order_in_which_they_were_set():
    async def main(world):
        order = []
        at_s = world.loop.time() + 5
        for number in range(50):
            world.loop.call_at(at_s, order.append, number)
        await asyncio.sleep(6)
        return order

    with World(1) as world:
        assert world.run("server", main(world)) == list(range(50))


def test_a_cancelled_timer_never_fires():
    async def main(world):
        fired = []
        timers = [world.loop.call_later(1, fired.append, number) for number in range(3_000)]
        for timer in timers[1:]:
            timer.cancel()
        await asyncio.sleep(2)
        return fired

    with World(1) as world:
        assert world.run("server", main(world)) == [0]


def test_asyncio_timeout_ends_a_wait_after_its_virtual_time():
    async def main(world):
        before = world.loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(900):
                await asyncio.Event().wait()
        return world.loop.time() - before

    with World(1) as world:
        assert world.run("server", main(world)) == 900


def test_a_world_in_which_nothing_can_happen_any_more_is_a_deadlock():
    with World(1) as world, pytest.raises(Deadlock, match="nothing can run"):
        world.run("server", asyncio.Event().wait())


def test_spinning_without_time_passing_is_a_livelock():
    async def spin():
        while True:  # noqa: ASYNC110  # this is what must be found
            await asyncio.sleep(0)

    with World(1, limits=LoopLimits(steps_per_instant_max=1_000)) as world, pytest.raises(Livelock, match="steps ran"):
        world.run("server", spin())


def test_the_virtual_deadline_ends_a_run():
    async def wait_for_ever():
        while True:  # noqa: ASYNC110  # a program that is never done
            await asyncio.sleep(1)

    with World(1) as world, pytest.raises(DeadlinePassed):
        world.run("server", wait_for_ever(), within_s=100)


def test_work_in_an_executor_returns_its_result_and_its_error():
    async def main(world):
        assert await asyncio.to_thread(sum, [1, 2, 3]) == 6
        with pytest.raises(ZeroDivisionError):
            await world.loop.run_in_executor(None, divmod, 1, 0)

    with World(1) as world:
        world.run("server", main(world))


def test_an_exception_that_nobody_catches_is_kept():
    async def main(world):
        world.loop.call_soon(divmod, 1, 0)
        await asyncio.sleep(1)

    with World(1) as world:
        world.run("server", main(world))
        assert [type(item.exception) for item in world.unhandled] == [ZeroDivisionError]
        assert "ZeroDivisionError" in str(world.unhandled[0])


def test_tasks_left_over_end_inside_their_world():
    ended = []

    async def forever():
        try:
            await asyncio.sleep(10**6)
        finally:
            ended.append(True)

    async def main():
        await asyncio.sleep(1)

    with World(1) as world:
        world.spawn("dev-1", forever())
        world.run("server", main())
        assert not ended
    assert ended == [True]


def test_a_task_that_ignores_its_cancellation_does_not_keep_the_world_open():
    async def stubborn():
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    async def main():
        await asyncio.sleep(0)

    world = World(1)
    with world:
        world.spawn("dev-1", stubborn())
        world.run("server", main())
    assert world.loop.is_closed()


def test_a_set_of_tasks_is_walked_in_the_order_of_their_making():
    async def main():
        tasks = {asyncio.create_task(asyncio.sleep(1), name=str(number)) for number in range(20)}
        done, _ = await asyncio.wait(tasks)
        return [task.get_name() for task in sorted(done, key=hash)]

    with World(1) as world:
        assert world.run("server", main()) == [str(number) for number in range(20)]
