"""The pages at the web port: what they show, and that all of it is escaped."""

from __future__ import annotations

import csv
import dataclasses
import html
import json
import re
import time
from pathlib import Path

import pytest

from clearml_hpo.server import dashboards
from clearml_hpo.server.files import FileServer
from clearml_hpo.server.pages import Pages, workers

from .page_visits import get
from .server_without_sockets import Api

EVIL = '<b>"evil"</b><script>alert(1)</script>'
TABS = ("overview", "configuration", "scalars", "plots", "images", "console", "artifacts", "execution")


@pytest.fixture
def task(api: Api) -> str:
    """A running task with something of everything, all of it with markup in it."""
    project = api.call("projects.create", name=f"fruit/{EVIL.replace('/', '')}")["id"]
    parameter = {"section": EVIL, "name": EVIL, "value": EVIL, "description": EVIL}
    made = api.task(
        name=EVIL,
        project=project,
        comment=EVIL,
        tags=[EVIL],
        hyperparams={EVIL: {EVIL: parameter}, "properties": {EVIL: {**parameter, "section": "properties"}}},
        configuration={EVIL: {"name": EVIL, "type": EVIL, "value": EVIL}},
        script={"repository": EVIL, "diff": f"+{EVIL}", "requirements": {"pip": EVIL}},
        container={"image": EVIL},
        runtime={EVIL: EVIL},
    )
    api.call("tasks.started", task=made, status_reason=EVIL, status_message=EVIL)
    api.report(made, (1, 0.5), (2, 0.25), metric=EVIL, variant=EVIL)
    api.report(made, (-(2**31), 3.5), metric="Summary", variant=EVIL)
    api.call("events.add", type="log", task=made, msg=EVIL)
    api.call("events.add", type="plot", task=made, metric=EVIL, variant=EVIL, iter=0, plot_str=json.dumps(EVIL))
    api.call("events.add", type="training_debug_image", task=made, metric=EVIL, variant="v", iter=1, url="javascript:1")
    artifact = {"key": EVIL, "type": EVIL, "uri": f"javascript:{EVIL}", "type_data": {"preview": EVIL}}
    api.call("tasks.add_or_update_artifacts", task=made, artifacts=[artifact])
    api.call("workers.register", worker=EVIL)
    api.call("workers.status_report", worker=EVIL, timestamp=1, task=made)
    api.call("queues.create", name=EVIL)
    return made


def pages_of(api: Api, task: str) -> list[str]:
    project = api.get(task)["project"]
    queue = api.call("queues.get_all", name="evil")["queues"][0]["id"]
    return [
        *(
            "/",
            "/projects",
            "/projects/*",
            f"/projects/{project}",
            f"/projects/{project}/columns",
            "/queues",
            "/workers",
            "/hpo",
        ),
        *(f"/tasks/{task}/{tab}" for tab in (*TABS, "clone", "edit")),
        *(f"/compare?task={task}&tab={tab}" for tab in ("parameters", "values", "scalars", "parallel")),
        *(f"/queues/{queue}", f"/actions/reset?task={task}", "/login", "/settings/workspace-configuration"),
    ]


def test_whatever_a_task_says_is_text(api: Api, task: str) -> None:
    for path in pages_of(api, task):
        answer = get(api, path)
        assert answer.status == 200, path
        assert "<b>" not in answer.text and "<script>alert" not in answer.text, path
        assert not re.search(r"(href|src)=\"javascript", answer.text), path


def test_no_page_takes_anything_from_elsewhere(api: Api, task: str) -> None:
    for path in pages_of(api, task):
        answer = get(api, path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "frame-ancestors 'none'" in policy
        assert "access-control-allow-origin" not in answer.headers
        assert not re.search(r"<(script|img|link|iframe)[^>]+(src|href)=\"(https?:)?//", answer.text), path
        assert not re.search(r"<[^>]+\son\w+=|<script(?![^>]* src=)", answer.text), path


def test_tabs(api: Api, task: str) -> None:
    shown = {tab: html.unescape(get(api, f"/tasks/{task}/{tab}").text) for tab in TABS}
    for tab in TABS:
        assert EVIL in shown[tab] and "in progress" in shown[tab]
    assert "3.5" in shown["scalars"] and "Uncommitted changes" in shown["execution"]


def test_a_task_of_which_little_is_known(api: Api) -> None:
    made = api.task(execution={"queue": 1}, models={}, container={}, script={"requirements": "x"})
    for tab in TABS:
        assert get(api, f"/tasks/{made}/{tab}").status == 200, tab


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ("/projects/{p}/tasks/{t}/output/log", "/tasks/{t}/overview"),
        ("/projects/{p}/experiments/{t}/output/log", "/tasks/{t}/overview"),
        ("/projects/*/tasks/{t}/output/log", "/tasks/{t}/overview"),
        ("/projects/*/experiments/{t}", "/tasks/{t}"),
        ("/projects/{p}/tasks/{t}/info-output/log", "/tasks/{t}/console"),
        ("/projects/{p}/tasks/{t}/info-output/metrics/scalar", "/tasks/{t}/scalars"),
        ("/projects/{p}/tasks/{t}/info-output/metrics/plots", "/tasks/{t}/plots"),
        ("/projects/{p}/tasks/{t}/info-output/debugImages", "/tasks/{t}/images"),
        ("/projects/{p}/tasks/{t}/artifacts/other/x", "/tasks/{t}/artifacts"),
        ("/projects/{p}/tasks/{t}/hyper-params/configuration/study", "/tasks/{t}/configuration"),
        ("/projects/{p}/tasks/{t}/execution", "/tasks/{t}/execution"),
        ("/datasets/simple/{p}/experiments/{t}", "/tasks/{t}"),
        ("/pipelines/{p}/experiments/{t}", "/tasks/{t}"),
        ("/projects/{p}/tasks", "/projects/{p}"),
        ("/projects/{p}/experiments", "/projects/{p}"),
        ("/projects/{p}/compare-tasks;ids={t},x/scalars", "/compare?task={t}&task=x"),
        ("/datasets", "/projects/*?type=data_processing"),
        ("/pipelines", "/projects/*?type=controller"),
        ("/workers-and-queues/workers", "/workers"),
        ("/workers-and-queues/queues", "/queues"),
    ],
)
def test_links_that_the_sdk_prints(link: str, page: str, api: Api, task: str) -> None:
    names = {"t": task, "p": api.get(task)["project"]}
    answer = get(api, link.format(**names))
    assert (answer.status, answer.location) == (302, page.format(**names))
    assert get(api, answer.location).status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/nothing", "/tasks/unknown", "/projects/unknown", "/tasks/\0", "/tasks/<script>", "/queues/unknown"),
        *(
            "/projects/x/tasks/unknown/output/log",
            "/compare?task=unknown",
            "/tasks/unknown/clone",
            "/files/x",
            "/files/",
        ),
        *("/files/../store.sqlite3", "/static/../pages.css", "/static/nothing.js", "/tasks/unknown/console.txt"),
    ],
)
def test_what_is_not_there(path: str, api: Api) -> None:
    answer = get(api, path)
    assert answer.status == 404 and "<script>" not in answer.text


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("page=x", "a whole number from 0"),
        ("page=-1", "a whole number from 0"),
        ("size=2000", "a whole number from 1 to 1000"),
        ("status=dead", "one of "),
        ("archived=maybe", "one of hidden, shown, only"),
        ("columns=nonsense", "m/<metric>/<variant>/<last|min|max>"),
        ("columns=m/a/b/mean", "no column"),
        ("sort=-nothing", "no column"),
    ],
)
def test_a_wrong_address_says_what_would_be_right(query: str, message: str, api: Api) -> None:
    answer = get(api, f"/projects/*?{query}")
    assert answer.status == 400 and message in html.unescape(answer.text)


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.fixture
def trials(api: Api) -> str:
    """A project with trials 0 to 9: depth counts up as text does not sort, AUC goes down; its id."""
    project = api.project()
    for number in range(10):
        depth = {"section": "General", "name": "depth", "value": str(number + 5)}
        made = api.task(
            name=f"trial {number}",
            project=project,
            tags=["even"] if number % 2 == 0 else [],
            hyperparams={"General": {"depth": depth}},
        )
        api.call("tasks.started", task=made)
        api.report(made, (0, 1.0), (1, 0.9 - number / 100), metric="a/b", variant="AUC ü")
        if number >= 8:
            api.call("tasks.archive_many", ids=[made])
        elif number >= 5:
            api.call("tasks.completed", task=made)
    return project


def names(api: Api, path: str) -> list[str]:
    return re.findall(r'<td class="name"><a [^>]*>([^<]*)</a>', get(api, path).text)


def numbered(*numbers: int) -> list[str]:
    return [f"trial {number}" for number in numbers]


AUC = "m/a%252Fb/AUC%2520%25C3%25BC"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", numbered(7, 6, 5, 4, 3, 2, 1, 0)),
        ("sort=p/General/depth", numbered(0, 1, 2, 3, 4, 5, 6, 7)),
        ("sort=-p/General/depth&size=2&page=1", numbered(5, 4)),
        (f"sort={AUC}/last&size=3", numbered(7, 6, 5)),
        (f"sort=-{AUC}/max&size=1", numbered(0)),
        ("sort=name&size=2", numbered(0, 1)),
        ("sort=-project&size=1", numbered(0)),
        ("status=completed&sort=name", numbered(5, 6, 7)),
        ("status=completed&status=failed&sort=name", numbered(5, 6, 7)),
        ("text=AL+3", numbered(3)),
        ("text=.*", []),
        ("tag=even&sort=name", numbered(0, 2, 4, 6)),
        ("parameter=Depth%3D9", numbered(4)),
        ("parameter=general/depth%3D1&sort=name", numbered(5, 6, 7)),
        ("parameter=value", []),
        ("type=inference", []),
        ("archived=only&sort=name", numbered(8, 9)),
        ("archived=shown&sort=-name&size=3", numbered(9, 8, 7)),
    ],
)
def test_sort_filter_and_page(query: str, expected: list[str], api: Api, trials: str) -> None:
    assert names(api, f"/projects/{trials}?{query}") == expected


def test_every_column_can_be_chosen_and_sorted_by(api: Api, trials: str) -> None:
    chooser = get(api, f"/projects/{trials}/columns?sort=name").text
    keys = re.findall(r'name="columns" value="([^"]*)"', chooser)
    assert "p/General/depth" in keys and "m/a%2Fb/AUC%20%C3%BC/min" in keys and "worker" in keys
    quoted = [key.replace("%", "%25") for key in keys]
    whole = get(api, f"/projects/{trials}?" + "&".join(f"columns={key}" for key in quoted))
    for text in ("AUC ü", "0.83", "12", "2026-01-01", ">even<"):
        assert text in whole.text
    for key in quoted:
        for sort in (key, f"-{key}"):
            assert len(names(api, f"/projects/{trials}?sort={sort}")) == 8, sort


def test_the_state_of_a_table_stays_in_its_links(api: Api, trials: str) -> None:
    state = "text=trial&sort=name&size=2&columns=worker&status=completed"
    text = html.unescape(get(api, f"/projects/{trials}?{state}").text)
    following = re.search(r'rel="next" href="([^"]*)"', text)
    assert following
    assert names(api, following[1]) == numbered(7)
    for part in ("columns=worker", "status=completed", "text=trial", "sort=name"):
        assert part in following[1]
    assert f"/projects/{trials}/export.csv?text=trial&status=completed&columns=worker" in text


def test_usual_columns_show_what_most_tasks_report(api: Api, trials: str) -> None:
    text = get(api, f"/projects/{trials}").text
    assert "a/b/AUC ü" in text and "0.83" in text and "ran for" in text


# --- studies in the table --------------------------------------------------------------------------------------------


def entry(section: str, name: str, value: object) -> dict[str, str]:
    return {"section": section, "name": name, "value": str(value)}


def headings(api: Api, path: str) -> list[str]:
    return re.findall(r'<th[^>]*><a href="[^"]*sort=[^>]*>([^<]*)</a>', get(api, path).text)


@pytest.fixture
def studies(api: Api) -> str:
    """A project with a study's controller, its template and three trials; its id."""
    project = api.project()
    api.task(name="tune", project=project, type="optimizer", tags=["clearml-hpo"])
    api.task(name="train", project=project, tags=["template"])
    for number in range(3):
        general = {name: entry("General", name, value) for name, value in (("lr", number / 10), ("epochs", 5))}
        properties = {name: entry("properties", name, number) for name in ("trial", "value", "attempt")}
        made = api.task(
            name=f"train #{number}", project=project, hyperparams={"General": general, "properties": properties}
        )
        api.report(made, (0, 1.0), metric="validation", variant="loss")
    return project


def test_trials_stand_alone_in_the_table_and_controllers_above_it(api: Api, studies: str) -> None:
    page = f"/projects/{studies}"
    assert names(api, page) == ["train #2", "train #1", "train #0"]
    text = get(api, page).text
    assert re.search(r'class="chip" href="/tasks/\w+">tune ', text)
    assert "with controllers and templates (2)" in text
    assert len(names(api, f"{page}?all=1")) == 5
    again = html.unescape(get(api, f"{page}?all=1&size=50").text)
    assert 'name="all" value="1" checked' in again and f"{page}?all=1" in again, "links keep it"
    assert len(get(api, f"{page}/export.csv").text.splitlines()) == 4


@pytest.mark.parametrize("query", ["text=tune", "tag=clearml-hpo", "type=optimizer"])
def test_filters_find_controllers(query: str, api: Api, studies: str) -> None:
    assert names(api, f"/projects/{studies}?{query}") == ["tune"]


def test_a_template_that_was_run_is_a_task_as_others(api: Api, studies: str) -> None:
    made = api.task(name="trained", project=studies, tags=["template"])
    assert "trained" not in names(api, f"/projects/{studies}")
    api.call("tasks.started", task=made)
    assert "trained" in names(api, f"/projects/{studies}")


def test_all_tasks_hide_nothing(api: Api, studies: str) -> None:
    assert {"tune", "train", "train #0"} <= set(names(api, "/projects/*?size=1000"))
    assert "controllers and templates" not in get(api, "/projects/*").text


def test_number_objective_and_searched_parameters_are_usual_columns(api: Api, studies: str) -> None:
    shown = headings(api, f"/projects/{studies}")
    assert shown[:6] == ["name", "status", "trial", "value", "General/lr", "validation/loss"]
    assert "General/epochs" not in shown and "attempt" not in shown
    assert names(api, f"/projects/{studies}?sort=p/properties/trial")[0] == "train #0"
    assert headings(api, f"/projects/{studies}?columns=worker") == ["name", "worker"]


def test_pages_lead_to_the_dashboard_that_runs(
    api: Api,
    studies: str,
) -> None:
    data_dir = api.apps.web._parts.local_data
    (study,) = re.findall(r'href="/hpo/studies/(\w+)"', get(api, f"/projects/{studies}").text)
    page = f"/hpo/studies/{study}"
    assert f'href="{page}"' in get(api, f"/tasks/{study}").text
    assert "clearml-hpo dashboard --local" in get(api, page).text
    with dashboards.noted(data_dir, 8091):
        with dashboards.noted(data_dir, 8092):
            assert get(api, page).location == f"http://127.0.0.1:8091/studies/{study}", "the first one stays"
        assert get(api, "/hpo").location == "http://127.0.0.1:8091/"
        assert get(api, "/hpo//evil.example.com/x").location.startswith("http://127.0.0.1:8091/")
    assert "clearml-hpo dashboard --local" in get(api, page).text


def test_who_is_elsewhere_is_not_led_to_this_machine(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    data_dir = api.apps.web._parts.local_data
    apps = api.apps
    pages = Pages(apps.store, apps.dispatcher, apps.authority, FileServer(data_dir, apps.authority), allow_remote=True)
    monkeypatch.setattr(api, "apps", dataclasses.replace(apps, web=pages))
    with dashboards.noted(data_dir, 8091):
        answer = get(api, "/hpo")
    assert answer.status == 200 and "clearml-hpo dashboard --open" in answer.text


def test_without_studies_the_table_is_as_it_was(api: Api, trials: str) -> None:
    assert headings(api, f"/projects/{trials}")[:3] == ["name", "status", "started"]
    text = get(api, f"/projects/{trials}").text
    assert "controllers and templates" not in text and "studies <a" not in text


def test_subprojects(api: Api) -> None:
    below = api.call("projects.create", name="above/below")["id"]
    above = api.call("projects.get_all", name="^above$")["projects"][0]["id"]
    api.task(name="deep", project=below)
    assert names(api, f"/projects/{above}") == []
    assert names(api, f"/projects/{above}?below=1") == ["deep"]
    assert f'href="/projects/{below}"' in get(api, f"/projects/{above}").text


def test_the_tree_counts_what_is_below(api: Api) -> None:
    deep = api.call("projects.create", name="above/below/deep")["id"]
    hidden = api.call("projects.create", name="above/.datasets", system_tags=["hidden"])["id"]
    done, put_away, _ = api.task(project=deep), api.task(project=deep), api.task(project=hidden)
    api.call("tasks.started", task=done)
    api.call("tasks.archive_many", ids=[put_away])
    text = get(api, "/projects").text
    rows = dict(re.findall(r">([^<>]+)</a></td>\s*<td class=\"right\">(\d+)</td>", text))
    assert rows == {"above": "2", ".datasets": "1", "below": "1", "deep": "1"}
    assert re.search(r'title="in progress">1<', text) and "archived" not in text


def test_csv_has_all_tasks_with_the_chosen_columns(api: Api, trials: str) -> None:
    api.task(name="=1+1", project=trials)
    query = f"columns=p/General/depth&columns={AUC}/last&columns=tags&columns=started&sort=p/General/depth&size=2"
    answer = get(api, f"/projects/{trials}/export.csv?{query}")
    rows = list(csv.reader(answer.text.splitlines()))
    assert answer.headers["content-type"].startswith("text/csv")
    assert rows[0] == ["id", "name", "General/depth", "a/b/AUC ü", "tags", "started"]
    assert [row[1:3] for row in rows[1:3]] == [["trial 0", "5"], ["trial 1", "6"]]
    assert rows[1][3:5] == ["0.9", "even"] and len(rows) == 10
    assert rows[-1][1] == "'=1+1"  # a spreadsheet would compute it


def test_a_table_of_a_thousand_tasks(api: Api) -> None:
    project = api.project()
    with api.store.db.transaction():
        for number in range(1000):
            items = {f"p{n}": {"section": "General", "name": f"p{n}", "value": str(n * number)} for n in range(10)}
            made = api.store.tasks.create(
                {"name": f"task {number}", "project": project, "hyperparams": {"General": items}}
            )
            api.store.events.add(
                [
                    {
                        "type": "training_stats_scalar",
                        "task": made,
                        "metric": "m",
                        "variant": f"v{n}",
                        "iter": 1,
                        "value": n,
                    }
                    for n in range(5)
                ]
            )
    columns = "".join(f"&columns=p/General/p{n}" for n in range(5))
    begin = time.process_time()
    shown = names(api, f"/projects/{project}?size=1000&sort=p/General/p3{columns}&columns=m/m/v0/last")
    assert len(shown) == 1000 and shown[0] == "task 0" and shown[-1] == "task 999"
    print(f"{time.process_time() - begin:.3f} s of processor time")


# --- parts of a task --------------------------------------------------------------------------------------------------


def figure(api: Api, path: str) -> dict[str, object]:
    answer = get(api, path)
    assert answer.status == 200
    found: dict[str, object] = json.loads(answer.text)
    return found


def test_scalars_are_lines_with_gaps(api: Api) -> None:
    made = api.task()
    lines = '{"type":"training_stats_scalar","task":"%s","metric":"m","variant":"v","iter":%d,"value":%s}'
    api.send(
        "/events.add_batch",
        "\n".join(lines % (made, *p) for p in ((0, "1"), (1, "null"), (2, "3"))).encode(),
        "application/json-lines",
    )
    found = figure(api, f"/tasks/{made}/scalars/figure?metric=m")
    assert found["data"] == [{"type": "scatter", "mode": "lines", "name": "v", "x": [0, 1, 2], "y": [1.0, None, 3.0]}]
    by_time = figure(api, f"/tasks/{made}/scalars/figure?metric=m&along=iso_time")
    assert by_time["layout"]["xaxis"] == {"type": "date"}  # type: ignore[index]
    assert figure(api, f"/tasks/{made}/scalars/figure?metric=other")["data"] == []


def test_scalars_are_thinned(api: Api) -> None:
    made = api.task()
    api.report(made, *((n, float(n)) for n in range(5000)))
    [line] = figure(api, f"/tasks/{made}/scalars/figure?metric=m")["data"]  # type: ignore[misc]
    assert len(line["x"]) <= 1001


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "7", '{"data": 5, "layout": []}', '{"data": ["x", null]}'])
def test_a_plot_that_is_none(text: str, api: Api) -> None:
    made = api.task()
    api.call("events.add", type="plot", task=made, metric="m", variant="v", iter=3, plot_str=text)
    assert figure(api, f"/tasks/{made}/plots/figure?metric=m&variant=v&iteration=3") == {"data": [], "layout": {}}


def test_a_plot_takes_pictures_from_this_server_alone(api: Api, tmp_path: Path) -> None:
    made = api.task()
    (tmp_path / "files" / "a b.png").write_bytes(b"x")
    sources = ["http://127.0.0.1:8081/a%20b.png", "http://elsewhere.example/c.png", "data:image/png;base64,xx"]
    plot = {"data": [{"type": "scatter"}], "layout": {"images": [{"source": source} for source in sources]}}
    api.call("events.add", type="plot", task=made, metric="m", variant="v", iter=0, plot_str=json.dumps(plot))
    found = figure(api, f"/tasks/{made}/plots/figure?metric=m&variant=v")
    shown = [each["source"] for each in found["layout"]["images"]]  # type: ignore[index]
    assert shown == ["/files/a%20b.png", "", "data:image/png;base64,xx"]


def test_files_are_shown_in_a_sandbox(api: Api, tmp_path: Path) -> None:
    made = api.task()
    (tmp_path / "files" / "x").mkdir()
    (tmp_path / "files" / "x" / "page.html").write_text("<script>alert(1)</script>")
    url = "http://box:8081/x/page.html"
    api.call("events.add", type="training_debug_image", task=made, metric="m", variant="v", iter=0, url=url)
    assert 'src="/files/x/page.html"' in get(api, f"/tasks/{made}/images").text
    answer = get(api, "/files/x/page.html")
    policy = answer.headers["content-security-policy"]
    assert answer.status == 200 and policy.startswith("sandbox;") and "allow-scripts" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_console_in_windows(api: Api) -> None:
    made = api.task()
    lines = [{"type": "log", "task": made, "timestamp": 1000 + n // 3, "msg": f"line {n}\n"} for n in range(450)]
    api.send("/events.add_batch", "\n".join(map(json.dumps, lines)).encode(), "application/json-lines")
    page = get(api, f"/tasks/{made}/console").text
    assert "line 449" in page and "line 250\n" in page and "line 249\n" not in page
    first, seen = re.search(r'data-first="([\d.]+)"', page), []
    assert first
    place = first[1]
    while place:
        part = figure(api, f"/tasks/{made}/console/more?before={place}")
        seen = [*str(part["text"]).splitlines(), *seen]
        place = str(part["first"])
    assert seen == [f"line {n}" for n in range(250)]
    last = re.search(r'data-last="([\d.]+)"', page)
    assert last
    assert figure(api, f"/tasks/{made}/console/more?after={last[1]}") == {"text": "", "last": last[1]}
    api.call("events.add", type="log", task=made, msg="\x1b[32mgreen\x1b[0m 1%\r2%")
    assert figure(api, f"/tasks/{made}/console/more?after={last[1]}")["text"] == "2%\n"
    assert get(api, f"/tasks/{made}/console.txt").text.splitlines() == [*(f"line {n}" for n in range(450)), "2%"]
    assert get(api, f"/tasks/{made}/console/more?after=x").status == 400


def test_what_a_worker_says_of_its_machine() -> None:
    stats = [{"aggregation": "avg", "values": [12.5, None, 50.0]}]
    metrics = [{"metric": "cpu_usage", "stats": stats}, {"metric": "other", "stats": stats}, {"metric": "gpu_usage"}]
    assert workers.latest({"worker": "box:0", "metrics": metrics}) == [("CPU %", 50.0)]


# --- comparing --------------------------------------------------------------------------------------------------------


def test_compare_marks_what_differs(api: Api) -> None:
    def made(rate: str, text: str) -> str:
        items = {
            "rate": {"section": "General", "name": "rate", "value": rate},
            "same": {"section": "General", "name": "same", "value": "1"},
        }
        return api.task(hyperparams={"General": items}, configuration={"c": {"name": "c", "value": text}})

    ids = [made("0.1", "a\nb"), made("0.1", "a\nb"), made("0.2", "a\nc")]
    text = get(api, "/compare?" + "&".join(f"task={id_}" for id_ in ids)).text
    rows = {name: kind for kind, name in re.findall(r'<tr class="(differs|same)"><th>([^<]*?) ?<', text)}
    assert rows == {"General/rate": "differs", "General/same": "same", "c": "differs"}
    assert text.count('class="unusual">0.2<') == 1 and 'class="unusual">0.1<' not in text
    assert '<span class="removed">-b</span>' in text and '<span class="added">+c</span>' in text


def test_compare_scalars_over_one_another_and_last_values(api: Api) -> None:
    ids = [api.task(name=f"task {n}") for n in range(3)]
    for at, id_ in enumerate(ids[:2]):
        api.report(id_, (0, 1.0), (1, float(at)))
    chosen = "&".join(f"task={id_}" for id_ in ids)
    found = figure(api, f"/compare/figure?{chosen}&tab=scalars&metric=m&variant=v")
    assert [(line["name"], line["y"]) for line in found["data"]] == [("task 0", [1.0, 0.0]), ("task 1", [1.0, 1.0])]  # type: ignore[attr-defined]
    text = get(api, f"/compare?{chosen}&tab=values").text
    assert re.search(r'class="right least">0</td><td class="right greatest">1</td><td class="right"></td>', text)


def test_parallel_coordinates(api: Api) -> None:
    ids = []
    for n, (rate, kind) in enumerate((("0.001", "a"), ("0.1", "b"), ("1", "a"), ("0.01", "c"))):
        values = {"rate": rate, "kind": kind, "same": "7"}
        items = {name: {"section": "General", "name": name, "value": value} for name, value in values.items()}
        ids.append(api.task(name=f"task {n}", hyperparams={"General": items}))
        if n < 3:
            api.report(ids[-1], (0, float(n)))
    chosen = "&".join(f"task={id_}" for id_ in ids)
    found = figure(api, f"/compare/figure?{chosen}&tab=parallel&metric=m&variant=v")
    assert found["layout"]["xaxis"]["ticktext"] == ["kind", "rate", "m/v"]  # type: ignore[index]
    lines = {line["name"]: line["y"] for line in found["data"]}  # type: ignore[attr-defined]
    assert lines["task 0"] == [0, 0, 0] and lines["task 2"] == [0, 1, 1]
    assert lines["task 1"] == pytest.approx([1, 2 / 3, 0.5])
