"""What `make soak` counts in large numbers, in small ones; and that it counts what is wrong."""

from bench import damage, soak
from xcodec_fast import StreamingXcodecBatch, load_codes


def _all_right(found, least):
    assert found.wrong == []
    assert found.tried >= least
    assert min(found.start, found.end) > 0


def test_damaged_containers(tiny):
    _all_right(damage.damaged_containers(300, tiny), 300)


def test_random_pushes(speech):
    _all_right(soak.random_pushes(40, speech), 40)


def test_a_long_stream(tiny, speech):
    _all_right(soak.a_long_stream(3, tiny, speech), 5)


def test_a_busy_batch(tiny, speech):
    _all_right(soak.a_busy_batch(60, tiny, speech), 5)


def test_what_is_wrong_is_counted(tiny, speech, monkeypatch):
    def another(path):
        return load_codes(path.with_name("whole0.xcodec") if path.stem == "damaged" else path)

    def fails(path):
        return {}[path] if path.stem == "damaged" else load_codes(path)

    for reads, least in ((another, 1), (fails, 30)):
        monkeypatch.setattr(damage, "load_codes", reads)
        assert len(damage.damaged_containers(30, tiny).wrong) >= least
    push = StreamingXcodecBatch.push
    monkeypatch.setattr(StreamingXcodecBatch, "push", lambda *given: [codes * 0 for codes in push(*given)])
    assert soak.a_busy_batch(60, tiny, speech).wrong
