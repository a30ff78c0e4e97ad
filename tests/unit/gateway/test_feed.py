"""What has changed of a study's trials, for whoever follows it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.gateway.feed import Feed
from clearml_hpo.gateway.service import LimitError, UnavailableError
from clearml_hpo.gateway.v1.events import EventStream, Streams, last_event


def trials(count):
    return [Trial(number, {"General/x": 0.5}, f"task{number}") for number in range(count)]


def numbers(feed, seq=0):
    return [change.number for change in feed.after(seq)]


def test_a_follower_gets_what_has_changed_since_and_each_trial_once():
    feed, three = Feed(), trials(3)
    feed.see(three)
    assert numbers(feed) == [0, 1, 2]
    known = feed.after(0)[-1].seq
    feed.see(three)
    assert numbers(feed, known) == [], "nothing has changed"
    three[0] = replace(three[0], state=TrialState.RUNNING)
    feed.see(three)
    three[0] = replace(three[0], state=TrialState.COMPLETED)
    three[2] = replace(three[2], state=TrialState.RUNNING)
    feed.see(three)
    assert [(change.number, change.trial.state.value) for change in feed.after(known)] == [
        (0, "completed"),
        (2, "running"),
    ]
    assert numbers(feed) == [1, 0, 2]
    assert sorted(change.seq for change in feed.after(0)) == [change.seq for change in feed.after(0)]


def test_numbers_grow_over_feeds_and_one_of_the_future_is_unknown():
    old, new = Feed(lambda: 1000.0), Feed(lambda: 1001.0)
    for feed in (old, new):
        feed.see(trials(3))
    last_of_old = old.after(0)[-1].seq
    assert numbers(new, last_of_old) == [0, 1, 2]
    assert numbers(old, new.after(0)[-1].seq) == [0, 1, 2], "a clock was set back"


def test_a_trial_that_was_withdrawn_is_told_of_once_and_may_come_back():
    feed = Feed()
    feed.see(trials(3))
    known = feed.after(0)[-1].seq
    feed.see(trials(2))
    feed.see(trials(2))
    (gone,) = feed.after(known)
    assert (gone.number, gone.trial) == (2, None)
    feed.see(trials(3))
    assert [change.trial is None for change in feed.after(gone.seq)] == [False]


def test_followers_are_woken_by_changes_alone():
    feed, woken = Feed(), []
    with feed.waking(lambda: woken.append(1)):
        assert feed.is_followed
        feed.see(trials(1))
        feed.see(trials(1))
    feed.see(trials(2))
    assert woken == [1] and not feed.is_followed


@pytest.mark.parametrize(("text", "found"), [("17", 17), ("", 0), ("x", 0), ("-1", 0), ("\u0661", 0), ("9" * 30, 0)])
def test_the_last_event(text, found):
    assert last_event(text) == found


def test_streams_are_bounded():
    streams = Streams(most=3, most_of_token=2)
    with streams.opened("a"), streams.opened("a"):
        with pytest.raises(LimitError, match="this token has 2 streams"):
            streams.check("a")
        with streams.opened("b"), pytest.raises(UnavailableError, match="the gateway has 3 streams"):
            streams.check("c")
        streams.check("c")
    streams.check("a")
    streams.close()
    with pytest.raises(UnavailableError):
        streams.check("a")


class Client:
    """What a stream sends, as text; it goes away when it is told to."""

    def __init__(self, feed, *, ended=lambda: "", counts=lambda: True, reads=True):
        self.sent, self.now, self.gone, self.reads = [], 0.0, asyncio.Event(), reads
        self.streams = Streams()

        async def counted():
            return counts()

        self.stream = EventStream(
            self.streams, feed, token="t", after=0, ended=ended, counts=counted, clock=lambda: self.now
        )

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if not self.reads and message["type"] != "http.response.start":
            await asyncio.Event().wait()
        self.sent.append(message)

    @property
    def text(self):
        return b"".join(message.get("body", b"") for message in self.sent).decode()

    async def run(self, *steps):
        task = asyncio.create_task(self.stream({}, self.receive, self.send))
        for step in steps:
            await asyncio.sleep(0.05)
            step()
        await asyncio.wait_for(task, 20)


def test_a_silent_stream_says_every_15_s_that_it_is_there():
    client = Client(Feed())

    async def run():
        task = asyncio.create_task(client.stream({}, client.receive, client.send))
        await asyncio.sleep(0.2)
        for seconds, comments in ((14.9, 0), (0.2, 1), (14.0, 1), (1.1, 2)):
            client.now += seconds
            await asyncio.sleep(0.7)  # a look
            assert client.text.count(": still here") == comments
        client.gone.set()
        await asyncio.wait_for(task, 5)

    asyncio.run(run())
    assert client.sent[0]["status"] == 200
    headers = dict(client.sent[0]["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream") and headers[b"x-accel-buffering"] == b"no"
    assert b"content-length" not in headers


@pytest.mark.parametrize("why", ["the client goes", "the token does not count", "the gateway ends"])
def test_a_stream_ends_without_a_word_and_its_place_is_free(why):
    counts = [True]
    client = Client(Feed(), counts=lambda: counts[0])
    ends = {
        "the client goes": client.gone.set,
        "the token does not count": lambda: counts.__setitem__(0, False),
        "the gateway ends": client.streams.close,
    }
    asyncio.run(client.run(ends[why]))
    assert "event:" not in client.text and client.streams._open.total() == 0
    assert not client.stream._feed.is_followed


def test_the_end_of_a_study_comes_after_its_last_changes():
    feed = Feed()
    feed.see(trials(250))
    client = Client(feed, ended=lambda: "the budget of 250 trials is used up")
    asyncio.run(client.run())
    events = [block.split("\n") for block in client.text.split("\n\n") if block.startswith("id: ")]
    assert [json.loads(lines[2].removeprefix("data: "))["number"] for lines in events] == [*range(250)]
    last = json.dumps({"reason": "the budget of 250 trials is used up"})
    assert client.text.endswith(f"event: ended\ndata: {last}\n\n")


def test_a_client_that_does_not_read_is_left(monkeypatch):
    monkeypatch.setattr("clearml_hpo.gateway.v1.events._SEND_S", 0.1)
    client = Client(Feed(), reads=False)
    asyncio.run(client.run())
    assert client.streams._open.total() == 0
