"""The block ``notify`` of a study file: who is told of what, and errors that repeat no secret."""

from __future__ import annotations

import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.study_file import parse_study

SECRET = "Secret-8c1d2e3f4a5b6c7d"
STUDY = """\
study: s
template: {task: abc}
search_space: {x: {type: float, low: 0, high: 1}}
objective: {metric: a/b, direction: minimize}
budget: {trials: 9}
notify:
"""
MAIL = "email: {to: me@example.org, host: smtp.example.org"


def notify(block):
    return parse_study(f"{STUDY}  {block}\n", "study.yaml").spec.notify


def test_all_events_but_the_best_are_on_if_none_are_named():
    assert notify("command: notify-send 'a study'").events == {
        "ended": 0,
        "failed": 0,
        "failures": 3,
        "no_worker": 600,
    }


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ("best", {"best": 0}),
        ("[ended, failures]", {"ended": 0, "failures": 3}),
        ("[failures: 1, no_worker: 1h]", {"failures": 1, "no_worker": 3600}),
        ("[no_worker: 90]", {"no_worker": 90}),
        ("{ended: , failures: 2}", {"ended": 0, "failures": 2}),
    ],
)
def test_events_are_read(events, found):
    assert notify(f"command: a\n  events: {events}").events == found


def test_channels_are_read_one_or_several():
    spec = notify(f"{MAIL}, from: hpo@example.org, user: me, password_env: SMTP_PASSWORD}}\n  slack: {{url_env: S}}")
    (mail,) = spec.email
    assert (mail.to, mail.sender, mail.own_port, mail.security) == (
        ["me@example.org"],
        "hpo@example.org",
        587,
        "starttls",
    )
    assert notify(f"{MAIL}, security: tls}}").email[0].own_port == 465
    assert [hook.url_env or hook.url for hook in notify("webhook: [{url_env: A}, {url: 'http://a/b'}]").webhook] == [
        "A",
        "http://a/b",
    ]
    assert notify("command: sh -c 'echo $1'").command == ["sh", "-c", "echo $1"]


def test_a_study_that_is_only_looked_at_needs_no_variable(monkeypatch):
    monkeypatch.delenv("NOT_SET_HERE", raising=False)
    assert notify("slack: {url_env: NOT_SET_HERE}").slack


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("events: [ended]", "6: notify: give one or more of: webhook, slack, email, command"),
        ("events: [endd]", "notify.events: found 'endd'; did you mean 'ended'?; any of: ended, failed, best, failures"),
        ("events: []", "notify.events: give one or more; any of"),
        ("events: [ended: 3]", "notify.events: ended has no number; found 3"),
        ("events: [failures: 0]", "notify.events: failures: found 0; expected more than 0"),
        ("events: [failures: 2.5]", "notify.events: failures: found 2.5; expected a whole number"),
        ("events: [no_worker: soon]", "notify.events: 'soon' is no duration; write seconds, or 90s, 10m"),
        ("evnts: [ended]", "notify.evnts: unknown key; did you mean 'events'?; allowed: events, webhook, slack"),
        (f"slack: https://hooks/{SECRET}", "notify.slack: expected keys and values, such as {url_env: SLACK_URL}"),
        (f"slack: [https://hooks/{SECRET}]", "notify.slack.0: expected keys and values, such as"),
        (f"slack: {{url: {SECRET}}}", "notify.slack.url: unknown key; did you mean 'url_env'?; allowed: url_env"),
        (f"slack: {{url_env: https://{SECRET}}}", "notify.slack.url_env: expected the name of an environment variable"),
        (f"slack: {{url_env: [{SECRET}]}}", "notify.slack.url_env: expected the name of an environment variable"),
        ("webhook: {}", "notify.webhook: give url_env (the variable that holds the URL), or url if that holds no"),
        (f"webhook: {{url: 'https://me:{SECRET}@a/'}}", "notify.webhook.url: it may hold a secret; put it in an"),
        (f"webhook: {{url: 'https://a/hook?token={SECRET}'}}", "notify.webhook.url: it may hold a secret"),
        (f"webhook: {{url: 'https://a/hook/{SECRET}'}}", "notify.webhook.url: it may hold a secret"),
        (f"webhook: {{url: 'ftp://a/{SECRET}'}}", "notify.webhook.url: expected an http or https URL"),
        (f"{MAIL}, user: me, password: {SECRET}}}", "notify.email.password: unknown key; did you mean 'password_env'?"),
        (f"{MAIL}, user: me}}", "notify.email: user and password_env go together: give both to log in, or neither"),
        (
            f"{MAIL}, user: me, password_env: X, security: none}}",
            "notify.email: security: none would send the password",
        ),
        (f"{MAIL}, security: ssl}}", "notify.email.security: found 'ssl'; one of: starttls, tls, none"),
        (f"{MAIL}, port: 70000}}", "notify.email.port: found 70000; expected 65535 or less"),
        ("email: {to: you, host: a}", "notify.email.to: found 'you'; expected an address such as me@example.org"),
        ("email: {to: a@b.c}", "notify.email.host is missing"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_repeated(block, said):
    needed = "" if block == "events: [ended]" else "\n  command: a"
    with pytest.raises(InputError) as caught:
        notify(f"{block}{needed}")
    assert said in str(caught.value) and str(caught.value).startswith("study.yaml:")
    assert SECRET not in str(caught.value)
