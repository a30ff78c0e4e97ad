"""What all templates have in common, tried on one of them: test_shape.py holds the others to the same text."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest


def load(module, data, **changed):
    return module.load_table(module.typed({"data": str(data)} | changed))


def split(module, table, **changed):
    return module.split_rows(table, module.typed(changed))


# --- Parameters


def test_text_becomes_the_type_of_the_default(catboost_train):
    params = catboost_train.typed({"depth": "7.0", "learning_rate": "1e-2", "upload_model": "False", "target": None})
    assert params["depth"] == 7 and type(params["depth"]) is int
    assert params["learning_rate"] == 0.01
    assert params["upload_model"] is False
    assert params["target"] == ""
    assert params["iterations"] == catboost_train.PARAMETERS["iterations"]


@pytest.mark.parametrize(
    ("given", "said"),
    [({"depth": "deep"}, "General/depth: 'deep' is not a number"), ({"depth": 6.5}, "not a whole number")],
)
def test_a_value_of_the_wrong_type_is_named(catboost_train, given, said):
    with pytest.raises(catboost_train.InputError, match=said):
        catboost_train.typed(given)


def test_values_by_hand(catboost_train):
    assert catboost_train.by_hand(["depth=4", "data=a=b.csv"]) == {"depth": "4", "data": "a=b.csv"}
    with pytest.raises(catboost_train.InputError, match=r"unknown parameter 'dept' .did you mean depth"):
        catboost_train.by_hand(["dept=4"])


@pytest.mark.parametrize(("limit", "wanted", "count"), [("3", 0, 3), ("", 0, 2), ("many", 0, 2), ("3", 5, 5)])
def test_the_slot_says_how_many_threads_start(catboost_train, monkeypatch, limit, wanted, count):
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert catboost_train.thread_count(wanted) == count
    assert catboost_train.thread_count(-1) >= 1


# --- Data


@pytest.mark.parametrize("name", ["breast_cancer", "iris", "wine"])
def test_the_short_way_to_a_bundled_set_reads_what_scikit_learn_loads(catboost_train, monkeypatch, name):
    short = catboost_train.read_bundled(name)
    monkeypatch.setattr(catboost_train, "BUNDLED_FILES", {})
    pd.testing.assert_frame_equal(short, catboost_train.read_bundled(name), check_dtype=False)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_with_text_and_holes(catboost_train, tables, kind):
    table = load(catboost_train, tables / f"train.{kind}", target="two", id_column="key")
    assert table.problem == "binary"
    assert table.classes == ("no", "yes")
    assert table.categorical == ["colour", "day", "three"]
    assert set(table.features["colour"]) == {"red", "green", "missing"}
    assert table.features["noise"].isna().any()
    assert table.ids.tolist() == list(range(1000, 1120)) and "key" not in table.features


def test_the_last_column_is_the_target_and_rows_without_it_are_left_out(catboost_train, tmp_path):
    (tmp_path / "table.csv").write_text("x,y\n1,0.5\n2,\n3,1.5\n4,2.5\n")
    table = load(catboost_train, tmp_path / "table.csv")
    assert table.problem == "regression"
    assert table.target.tolist() == [0.5, 1.5, 2.5]
    assert table.ids.tolist() == [0, 2, 3]


def test_columns_have_their_roles_and_are_no_features(catboost_train, tables):
    roles = {"weight_column": "weight", "time_column": "day", "group_column": "query", "id_column": "key"}
    given = roles | {"ignored_columns": "two,three,rank", "categorical_columns": "noise"}
    table = load(catboost_train, tables / "train.csv", target="number", test_data=str(tables / "test.csv"), **given)
    assert list(table.features) == list(table.test) == ["a<[1]", "noise", "colour"]
    assert table.categorical == ["noise", "colour"]
    assert table.time.tolist() == list(range(120))
    assert table.group.tolist() == [row // 6 for row in range(120)]
    assert table.weight.min() > 0
    assert table.test_ids.tolist() == list(range(10))
    assert "blue" in table.features["colour"].cat.categories  # of the test rows alone


def test_the_rows_of_a_query_stand_together(catboost_train, tmp_path):
    (tmp_path / "table.csv").write_text("x,q,y\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(12)))
    table = load(catboost_train, tmp_path / "table.csv", problem="ranking", group_column="q")
    assert table.group.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert table.ids.tolist() == [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    assert table.features["x"].tolist() == table.ids.tolist()


@pytest.mark.parametrize(
    ("content", "given", "said"),
    [
        (None, {}, "no file .*table.csv on "),
        ("", {}, "not a readable CSV file"),
        ("a,b\n1,0\n2,1\n", {"target": "bb"}, "General/target: .*no column 'bb'; it has b"),
        ("a,b\n1,0\n2,0\n", {}, "target 'b' is constant: every row has 0"),
        ("a,b\n1,\n2,\n", {}, "no row has a value"),
        ("b\n1\n2\n", {}, "no column is left"),
        ("a,b\n1,0\n2,1\n", {"weight_column": "w"}, "General/weight_column: .*no column 'w'"),
        ("a,b\n1,0\n2,1\n", {"ignored_columns": "a,w"}, "General/ignored_columns: .*no column 'w'"),
        ("a,b\n1,0\n2,1\n", {"categorical_columns": "w"}, "General/categorical_columns: .*no column 'w'"),
        ("w,a,b\n1,1,0\n-1,2,1\n", {"weight_column": "w"}, "'w' has values that are missing, negative or no numbers"),
        ("t,a,b\nsoon,1,0\n1,2,1\n", {"time_column": "t"}, "'t' has values that are missing, or neither"),
        ("a,b\n1,0\n2,1\n", {"problem": "ranking"}, "General/group_column: a ranking needs"),
        ("a,b\n1,0\n2,1\n", {"test_data": "none.csv"}, "General/test_data: no file .*none.csv on "),
    ],
)
def test_data_that_cannot_be_used_is_refused_in_one_line(catboost_train, tmp_path, content, given, said):
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(catboost_train.InputError, match=said) as caught:
        load(catboost_train, path, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [("b\n1\n", "lacks the column 'a'"), ("a\nlow\n", "'a' has other values than numbers")],
)
def test_test_rows_that_do_not_fit_are_refused(catboost_train, tmp_path, content, said):
    (tmp_path / "table.csv").write_text("a,b\n1,0\n2,1\n")
    (tmp_path / "test.csv").write_text(content)
    with pytest.raises(catboost_train.InputError, match=f"General/test_data: .*{said}"):
        load(catboost_train, tmp_path / "table.csv", test_data=str(tmp_path / "test.csv"))


def test_a_misspelt_bundled_set_is_recognised(catboost_train):
    with pytest.raises(catboost_train.InputError, match="did you mean breast_cancer"):
        load(catboost_train, "breast_cancr")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([0, 1, 1], "binary"),
        (["a", "b", "c"], "multiclass"),
        ([0, 1, 2], "multiclass"),
        ([0.5, 1.5, 2.5], "regression"),
        (list(range(60)), "regression"),
    ],
)
def test_the_problem_follows_from_the_target(catboost_train, values, problem):
    assert catboost_train.detect_problem(pd.Series(values)) == problem


@pytest.mark.parametrize(
    ("problem", "said"), [("binary", "3 classes"), ("regression", "not numeric"), ("clustering", "none of auto")]
)
def test_a_problem_that_the_target_does_not_fit_is_refused(catboost_train, tmp_path, problem, said):
    path = tmp_path / "table.csv"
    path.write_text("x,y\n1,a\n2,b\n3,c\n")
    with pytest.raises(catboost_train.InputError, match=said):
        load(catboost_train, path, problem=problem)


@pytest.mark.parametrize(
    ("data", "wanted", "found"),
    [(["a.csv"], "", "a.csv"), (["a.csv", "b/c.parquet", "d.txt"], "b/c.parquet", "b/c.parquet")],
)
def test_a_dataset_names_its_table(catboost_train, tmp_path, data, wanted, found):
    for name in data:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert catboost_train.data_file("0" * 32, tmp_path, wanted) == tmp_path / found
    if len(data) > 1:
        with pytest.raises(catboost_train.InputError, match=r"General/data_file: name one of .*: a\.csv, b/c\.parquet"):
            catboost_train.data_file("0" * 32, tmp_path, "")


# --- Weights


def test_rare_classes_weigh_more(catboost_train):
    target = pd.Series([0, 0, 0, 1], name="y")
    table = catboost_train.Table(pd.DataFrame({"x": range(4)}), target, "binary", ("no", "yes"), target)
    rows = np.arange(4)
    assert table.weights(rows, "none") is None
    assert table.weights(rows, "balanced") == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    assert table.weights(rows, "sqrt_balanced") == pytest.approx(np.sqrt([2 / 3, 2 / 3, 2 / 3, 2]))
    with pytest.raises(catboost_train.InputError, match="General/class_weights: 'equal' is none of none, balanced"):
        table.weights(rows, "equal")


# --- Validation


@pytest.fixture
def cancer(catboost_train):
    return load(catboost_train, "breast_cancer")


def test_the_split_is_stratified_and_follows_its_seed(catboost_train, cancer):
    first, again, other = (split(catboost_train, cancer, split_seed=seed)[0][1] for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    assert abs(cancer.target[first].mean() - cancer.target.mean()) < 0.01
    assert abs(len(first) / len(cancer.target) - 0.2) < 0.01


@pytest.mark.parametrize("scheme", ["kfold", "stratified", "group"])
def test_every_row_is_validated_once(catboost_train, tables, scheme):
    table = load(catboost_train, tables / "train.csv", target="two", group_column="query")
    splits = split(catboost_train, table, validation=scheme, folds=4)
    assert len(splits) == 4
    assert sorted(np.concatenate([held_out for _, held_out in splits])) == list(range(120))
    for rows, held_out in splits:
        assert sorted([*rows, *held_out]) == list(range(120))
        assert len(held_out) == pytest.approx(30, abs=6 if scheme == "group" else 1)


def test_stratified_folds_share_each_class_out(catboost_train, cancer):
    counts = [np.bincount(cancer.target[held]) for _, held in split(catboost_train, cancer, validation="stratified")]
    assert np.ptp(counts, axis=0).max() <= 1


@pytest.mark.parametrize("scheme", ["holdout", "group"])
def test_groups_stay_whole(catboost_train, tables, scheme):
    table = load(catboost_train, tables / "train.csv", target="two", group_column="query")
    for rows, held_out in split(catboost_train, table, validation=scheme):
        assert not set(table.group[rows]) & set(table.group[held_out])


@pytest.mark.parametrize(("given", "sizes"), [({"validation": "time", "folds": 3}, [30, 60, 90]), ({}, [96])])
def test_what_is_validated_is_later_than_what_is_trained_on(catboost_train, tables, tmp_path, given, sizes):
    shuffled = pd.read_csv(tables / "train.csv").sample(frac=1, random_state=0)
    shuffled.to_csv(tmp_path / "table.csv", index=False)
    table = load(catboost_train, tmp_path / "table.csv", target="number", time_column="day")
    splits = split(catboost_train, table, **given)
    assert [len(rows) for rows, _ in splits] == sizes
    for rows, held_out in splits:
        assert table.time[rows].max() < table.time[held_out].min()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"validation": "loo"}, "General/validation: 'loo' is none of holdout, kfold, stratified, group, time"),
        ({"validation": "group"}, "General/group_column: validation=group needs it"),
        ({"validation": "time"}, "General/time_column: validation=time needs it"),
        ({"validation_fraction": 1.0}, "General/validation_fraction: 1.0 is not between 0 and 1"),
        ({"validation": "kfold", "folds": 1}, "General/folds: 1 is not between 2 and 569"),
    ],
)
def test_a_split_that_cannot_be_is_refused(catboost_train, cancer, given, said):
    with pytest.raises(catboost_train.InputError, match=said):
        split(catboost_train, cancer, **given)


@pytest.mark.parametrize(
    ("rows", "given", "said"),
    [
        (["a", "a", "b"], {}, "class 'b' has a single row: it cannot be on both sides"),
        (["a"] * 9 + ["b"], {"validation": "kfold"}, "fold .: class 'b' has no row on the .* side of the split"),
        (["a"] * 6 + ["b"] * 6, {"time_column": "x"}, "class 'a' has no row on the validation side of the split"),
    ],
)
def test_a_class_that_one_side_lacks_is_named(catboost_train, tmp_path, rows, given, said):
    lines = "".join(f"{i},{i},{label}\n" for i, label in enumerate(rows))
    (tmp_path / "table.csv").write_text("x,z,y\n" + lines)
    table = load(catboost_train, tmp_path / "table.csv", **{k: v for k, v in given.items() if k == "time_column"})
    with pytest.raises(catboost_train.InputError, match=said):
        split(catboost_train, table, **given)


def test_the_queries_of_a_ranking_are_not_parted(catboost_train, tables):
    table = load(catboost_train, tables / "train.csv", target="rank", problem="ranking", group_column="query")
    with pytest.raises(catboost_train.InputError, match="'kfold' would part the queries"):
        split(catboost_train, table, validation="kfold")


def test_rows_of_one_time_stay_on_one_side(template, tmp_path):
    days = [f"2024-01-{1 + i // 4:02d}" for i in range(24)]  # six days of four rows
    lines = "".join(f"{day},{i},{i}.5\n" for i, day in enumerate(days))
    (tmp_path / "table.csv").write_text("day,x,y\n" + lines)
    table = load(template, tmp_path / "table.csv", time_column="day")
    for given in ({"validation_fraction": 0.2}, {"validation": "time", "folds": 4}):
        for train, held_out in split(template, table, **given):
            assert len(train) and len(held_out)
            assert max(days[i] for i in train) < min(days[i] for i in held_out)
    with pytest.raises(template.InputError, match="of 6 times: too few for 6 folds"):
        split(template, table, validation="time", folds=6)
    (tmp_path / "table.csv").write_text("day,x,y\n" + "2024-01-01,1,1.5\n2024-01-01,2,2.5\n")
    with pytest.raises(template.InputError, match="all rows are of one time"):
        split(template, load(template, tmp_path / "table.csv", time_column="day"))


def test_a_row_without_a_group_is_refused(template, tmp_path):
    (tmp_path / "table.csv").write_text("g,x,y\na,1,1.5\n,2,2.5\nb,3,3.5\n")
    with pytest.raises(template.InputError, match="General/group_column: 'g' has missing values"):
        load(template, tmp_path / "table.csv", group_column="g")


def test_holes_change_neither_categories_nor_classes(template, tmp_path):
    (tmp_path / "table.csv").write_text("zip,x,y\n" + "101,1,0\n102,2,1\n101,3,\n102,4,1\n101,5,0\n")
    (tmp_path / "test.csv").write_text("zip,x\n101,1\n,2\n102,3\n")
    table = load(
        template,
        tmp_path / "table.csv",
        categorical_columns="zip",
        test_data=str(tmp_path / "test.csv"),
        problem="binary",
    )
    assert table.classes == ("0", "1")
    assert table.features["zip"].tolist() == ["101", "102", "102", "101"]
    assert table.test["zip"].tolist() == ["101", "missing", "102"]


# --- Files as people have them


def rows(line, count=60):
    return "".join(f"{line(row)}\n" for row in range(count))


@pytest.mark.parametrize("word", ["None", "NA", "null", "N/A", "NULL"])
def test_a_class_may_be_called_as_a_hole_is_elsewhere(catboost_train, tmp_path, capsys, word):
    (tmp_path / "table.csv").write_text("a,y\n" + rows(lambda row: f"{row},{(word, 'Apnea', 'Insomnia')[row % 3]}"))
    table = load(catboost_train, tmp_path / "table.csv")
    assert (table.problem, len(table.target)) == ("multiclass", 60)
    assert set(table.classes) == {word, "Apnea", "Insomnia"}
    assert f"the target 'y' has the class {word!r} in 20 rows; set missing_values={word}" in capsys.readouterr().out
    table = load(catboost_train, tmp_path / "table.csv", missing_values=f"?,{word}")
    assert (table.problem, len(table.target)) == ("binary", 40)
    assert "20 of 60 rows have no value for the target 'y' and are left out" in capsys.readouterr().out


def test_the_same_words_are_holes_among_numbers(catboost_train, tmp_path, capsys):
    (tmp_path / "table.csv").write_text("a,b,y\n1,None,0.5\nNA,2,NA\n3,null,1.5\n,4,2.5\n")
    table = load(catboost_train, tmp_path / "table.csv")
    assert table.categorical == [] and table.target.tolist() == [0.5, 1.5, 2.5]
    assert table.features["a"].isna().tolist() == [False, False, True]
    assert capsys.readouterr().out == "1 of 4 rows have no value for the target 'y' and are left out\n"


@pytest.mark.parametrize(
    ("values", "said", "given", "first"),
    [
        (("5,125", "4,868"), "c (numbers such as '5,125': set thousands=,)", {"thousands": ","}, 5125),
        (("0,25", "-1,5"), "c (numbers such as '0,25': set decimal=,)", {"decimal": ","}, 0.25),
        (("1.234,5", "0,5"), "set decimal=, and thousands=.", {"decimal": ",", "thousands": "."}, 1234.5),
        (("1.3%", "2%"), "c (numbers such as '1.3%': take the sign out of the file)", None, None),
        (
            ("0.5", "?", "7", "8"),
            "c (15 of 60 values are no numbers: '?'; set missing_values=?",
            {"missing_values": "?"},
            0.5,
        ),
        (("red", "green"), "c (text)", None, None),
    ],
)
def test_numbers_that_are_text_are_named_and_the_way_to_read_them(
    catboost_train, tmp_path, capsys, values, said, given, first
):
    text = "c,y\n" + rows(lambda row: f'"{values[row % len(values)]}",{row % 2}')
    (tmp_path / "table.csv").write_text(text)
    assert load(catboost_train, tmp_path / "table.csv").categorical == ["c"]
    assert said in capsys.readouterr().out
    if given is not None:
        table = load(catboost_train, tmp_path / "table.csv", **given)
        assert table.categorical == [] and table.features["c"][0] == first
        assert "categories" not in capsys.readouterr().out


def test_a_column_written_in_another_way_than_the_file_is_numbers_all_the_same(catboost_train, tmp_path):
    (tmp_path / "table.csv").write_text("a,b,y\n" + rows(lambda row: f'"{row},5",{row}.25,{row % 2}'))
    table = load(catboost_train, tmp_path / "table.csv", decimal=",")
    assert table.categorical == [] and table.features.iloc[1].tolist() == [1.5, 1.25]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (lambda row: f"{row},{row}e300", "infinite or beyond 3e38 in 59 rows: row 1 (from 0) has 1e+300"),
        (lambda row: f"{row},{1.7e9 + row / 2}", "the target 'y' is constant to seven digits"),
        (lambda row: f'{row},"{row},5"', "the target 'y' has numbers such as '0,5': set decimal=,"),
        (lambda row: f"{row},{row if row else '?'}", "1 of 60 values are no numbers: '?'; set missing_values=?"),
        (
            lambda row: f"{row},{row / 7 if row % 9 else '-inf'}",
            "in 7 rows: row 0 (from 0) has -inf",
        ),
    ],
)
def test_a_target_that_is_not_what_it_looks_like_is_refused(catboost_train, tmp_path, line, said):
    (tmp_path / "table.csv").write_text("x,y\n" + rows(line))
    with pytest.raises(catboost_train.InputError, match=re.escape(said)):
        load(catboost_train, tmp_path / "table.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a;größe;y\n1;x,y;0\n2;z;1\n".encode(), "table.csv: values are separated by a semicolon\n"),
        ("a\tgröße\ty\n1\tx,y\t0\n2\tz\t1\n".encode(), "table.csv: values are separated by a tab\n"),
        ('a,größe,y\n1,"x,y",0\n2,z,1\n'.encode("latin-1"), "table.csv is not UTF-8: read as cp1252\n"),
        ('a,größe,y\n1,"x,y",0\n2,z,1\n'.encode("utf-16"), ""),
        ('a,größe,y\n1,"x,y",0\n2,z,1\n'.encode("utf-8-sig"), ""),
        (gzip.compress('a,größe,y\n1,"x,y",0\n2,z,1\n'.encode(), mtime=0), ""),
    ],
)
def test_separator_and_encoding_are_recognised(catboost_train, tmp_path, capsys, content, said):
    path = tmp_path / ("table.csv.gz" if content.startswith(b"\x1f\x8b") else "table.csv")
    path.write_bytes(content)
    table = load(catboost_train, path)
    assert list(table.features) == ["a", "größe"] and table.features["größe"].tolist() == ["x,y", "z"]
    assert capsys.readouterr().out == f"{said}columns taken as categories: größe (text)\n"


@pytest.mark.parametrize("rows", ["1,x,0,7\n2,z,1,7\n", "1,x,0\n2,z,1,7\n"])
def test_rows_longer_than_the_header_are_refused(catboost_train, tmp_path, rows):
    (tmp_path / "table.csv").write_text(f"a,b,y\n{rows}")
    with pytest.raises(catboost_train.InputError, match=r"a row has more values|Expected 3 fields in line 3, saw 4"):
        load(catboost_train, tmp_path / "table.csv")


def test_spaces_around_names_and_texts_do_not_count(catboost_train, tmp_path):
    (tmp_path / "table.csv").write_text("a, b ,y\n1, x,yes\n2,x , no\n3,  NA,no \n")
    table = load(catboost_train, tmp_path / "table.csv")
    assert (table.classes, list(table.features)) == (("no", "yes"), ["a", "b"])
    assert table.features["b"].tolist() == ["x", "x", "NA"]


def test_rows_that_end_with_a_separator_keep_their_columns(catboost_train, tmp_path):
    (tmp_path / "table.csv").write_text("a,b,y\n1,5,0,\n2,6,1,\n")
    table = load(catboost_train, tmp_path / "table.csv")
    assert table.features.to_numpy().tolist() == [[1, 5], [2, 6]]


def test_ids_and_categories_keep_their_zeros(catboost_train, tmp_path):
    (tmp_path / "table.csv").write_text("id,zip,a,y\n007,0123,1,0\n8,123,2,1\n")
    table = load(catboost_train, tmp_path / "table.csv", id_column="id", categorical_columns="zip")
    assert table.ids.tolist() == ["007", "8"] and table.features["zip"].tolist() == ["0123", "123"]


def test_a_column_without_a_value_is_left_out(template, train, tmp_path, capsys):
    text = "a,empty,constant,y\n" + rows(lambda row: f"{row % 7},,7,{row % 2}")
    (tmp_path / "table.csv").write_text(text)
    trained = train(template, data=str(tmp_path / "table.csv"), target="", ignored_columns="")
    assert "columns without a value, left out: empty\n" in capsys.readouterr().out
    assert trained


# --- Metrics


def test_predictions_below_the_range_of_a_log_error_are_no_fault_of_the_user(template):
    metric, target = template.Metric("rmsle", scorer="neg_root_mean_squared_log_error", sign=-1), np.array([0.0, 2.0])
    assert np.isnan(template.score(metric, "regression", target, np.array([-1.5, 2.0]), None))
    assert template.score(metric, "regression", target, target, None) == 0
    with pytest.raises(template.InputError, match="cannot be measured here"):
        template.score(metric, "regression", target - 5, target, None)


def test_scikit_learn_measures_what_it_measures_of_a_model(catboost_train):
    target, share = np.array([0, 1, 1, 0]), np.array([0.2, 0.9, 0.4, 0.6])
    predictions = catboost_train.as_matrix(share, "binary")

    def measured(name):
        metric = catboost_train.Metric(name, scorer=name)
        return catboost_train.score(metric, "binary", target, predictions, None)

    assert measured("accuracy") == 0.5
    assert measured("roc_auc") == 0.75
    assert measured("neg_log_loss") == pytest.approx(np.log([0.8, 0.9, 0.4, 0.4]).mean())


def test_a_metric_that_takes_no_weights_says_so(catboost_train):
    metric, values = catboost_train.Metric("worst", scorer="neg_max_error"), np.array([1.0, 2.0])
    assert catboost_train.score(metric, "regression", values, values + 1, None) == -1
    with pytest.raises(catboost_train.InputError, match="General/metrics: worst cannot be measured here"):
        catboost_train.score(metric, "regression", values, values, values)


# --- Reports


@pytest.mark.parametrize(
    ("problem", "kind", "columns"),
    [("binary", "labels", ["id", "y"]), ("binary", "probabilities", ["id", "y"])],
)
def test_a_submission_has_an_id_and_the_target(catboost_train, problem, kind, columns):
    ids = pd.Series([7, 8], name="id")
    target = pd.Series([0, 1], name="y")
    table = catboost_train.Table(pd.DataFrame({"x": [1, 2]}), target, problem, ("no", "yes"), target, test_ids=ids)
    given = catboost_train.as_matrix(np.array([0.2, 0.7]), problem)
    frame = catboost_train.submission(table, given, kind)
    assert list(frame) == columns and frame["id"].tolist() == [7, 8]
    assert frame["y"].tolist() == (["no", "yes"] if kind == "labels" else [0.2, 0.7])
