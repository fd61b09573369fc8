from postern.mail.dns import Answer, Question, Status
from postern.runtime.clock import FakeClock
from postern.runtime.resolver.cache import AnswerCache


def answer(name: str, ttl_s: int = 300, *records: str) -> Answer:
    return Answer(Question(name, "A"), Status.OK, records, ttl_s)


def test_answer_is_kept_as_long_as_its_ttl_and_no_longer() -> None:
    clock = FakeClock()
    cache = AnswerCache(clock, 10, 10_000)
    cache.put(answer("a.test", 300), 300)
    clock.advance(299.5)
    assert cache.get(Question("a.test", "A")) is not None
    clock.advance(0.5)
    assert cache.get(Question("a.test", "A")) is None
    assert len(cache) == 0


def test_ttl_is_counted_down() -> None:
    clock = FakeClock()
    cache = AnswerCache(clock, 10, 10_000)
    cache.put(answer("a.test", 300), 300)
    clock.advance(100)
    found = cache.get(Question("a.test", "A"))
    assert found is not None
    assert found.ttl_s == 200


def test_wall_clock_jumps_do_not_matter() -> None:
    class Jumping(FakeClock):
        def now(self) -> float:
            return -1e9

    cache = AnswerCache(Jumping(), 10, 10_000)
    cache.put(answer("a.test"), 300)
    assert cache.get(Question("a.test", "A")) is not None


def test_zero_ttl_is_not_kept() -> None:
    cache = AnswerCache(FakeClock(), 10, 10_000)
    cache.put(answer("a.test", 0), 0)
    assert cache.get(Question("a.test", "A")) is None


def test_time_taken_is_zero_from_the_cache() -> None:
    cache = AnswerCache(FakeClock(), 10, 10_000)
    cache.put(Answer(Question("a.test", "A"), Status.OK, ("192.0.2.1",), 9, seconds=1.5), 9)
    found = cache.get(Question("a.test", "A"))
    assert found is not None
    assert found.seconds == 0.0


def test_the_longest_unused_answer_leaves_first() -> None:
    cache = AnswerCache(FakeClock(), 2, 10_000)
    cache.put(answer("a.test"), 300)
    cache.put(answer("b.test"), 300)
    cache.get(Question("a.test", "A"))
    cache.put(answer("c.test"), 300)
    assert cache.get(Question("b.test", "A")) is None
    assert cache.get(Question("a.test", "A")) is not None
    assert len(cache) == 2


def test_huge_answers_cannot_fill_the_memory() -> None:
    cache = AnswerCache(FakeClock(), 1000, 100_000)
    for number in range(100):
        cache.put(answer(f"{number}.test", 300, "x" * 30_000), 300)
    assert cache.size_bytes <= 100_000
    assert 0 < len(cache) <= 3


def test_an_answer_larger_than_the_cache_is_not_kept_and_pushes_nothing_out() -> None:
    cache = AnswerCache(FakeClock(), 10, 10_000)
    cache.put(answer("small.test"), 300)
    cache.put(answer("huge.test", 300, "x" * 60_000), 300)
    assert cache.get(Question("huge.test", "A")) is None
    assert cache.get(Question("small.test", "A")) is not None


def test_putting_again_replaces_and_keeps_count() -> None:
    cache = AnswerCache(FakeClock(), 10, 10_000)
    cache.put(answer("a.test", 300, "192.0.2.1"), 300)
    size_bytes = cache.size_bytes
    cache.put(answer("a.test", 300, "192.0.2.2"), 300)
    assert cache.size_bytes == size_bytes
    cache.clear()
    assert cache.size_bytes == 0
    assert len(cache) == 0
