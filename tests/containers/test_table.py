"""Data tables: which columns are taken, what is dropped, the decimal grid, and what is refused in which words."""

import io

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.containers.csv_file import CsvFile
from reknit.containers.decimals import decimal_step, is_dyadic
from reknit.containers.file_bytes import FileBytes
from reknit.containers.table import read_table
from reknit.errors import TableError

CSV = "x_1,x_2,x_10,pred,true\n0.5,1.25,3,0.1,9\n1.5,2.25,4,0.2,9\n-2.5,3.25,5,0.3,9\n"


def written(folder, content, name="data.csv"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path, **options):
    with pytest.raises(TableError) as caught:
        read_table(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_the_default_columns(tmp_path):
    table = read_table(written(tmp_path, CSV))
    assert (table.input_names, table.output_names) == (("x_1", "x_2", "x_10"), ("pred",))
    np.testing.assert_array_equal(table.inputs, [[0.5, 1.25, 3], [1.5, 2.25, 4], [-2.5, 3.25, 5]])
    np.testing.assert_array_equal(table.outputs, [[0.1], [0.2], [0.3]])
    assert (table.rows, table.dropped, table.dropped_columns, table.path) == (3, 0, (), tmp_path / "data.csv")
    assert table.inputs.dtype == table.outputs.dtype == np.float64
    assert table.inputs.flags.c_contiguous


@pytest.mark.parametrize(
    ("options", "inputs", "outputs"),
    [
        ({"target": "true"}, ("x_1", "x_2", "x_10"), ("true",)),
        ({"target": "true,pred"}, ("x_1", "x_2", "x_10"), ("true", "pred")),
        ({"inputs": "x_*"}, ("x_1", "x_2", "x_10"), ("pred",)),
        ({"inputs": "x_10, x_1"}, ("x_10", "x_1"), ("pred",)),
        ({"inputs": "x_10,x_*"}, ("x_10", "x_1", "x_2"), ("pred",)),
        ({"inputs": "*"}, ("x_1", "x_2", "x_10", "true"), ("pred",)),
        ({"inputs": "x_?", "target": "tr*"}, ("x_1", "x_2"), ("true",)),
    ],
)
def test_columns_by_name_and_by_glob(tmp_path, options, inputs, outputs):
    table = read_table(written(tmp_path, CSV), **options)
    assert (table.input_names, table.output_names) == (inputs, outputs)


def test_several_predictions(tmp_path):
    table = read_table(written(tmp_path, "a,pred_1,pred_0,true_0\n1,2,3,4\n"))
    assert (table.input_names, table.output_names) == (("a",), ("pred_1", "pred_0"))


def test_names_with_glob_characters_and_commas(tmp_path):
    path = written(tmp_path, '"x[0]","a,b",pred\n1,2,3\n')
    assert read_table(path, inputs="x[0]").input_names == ("x[0]",)
    assert read_table(path, inputs="a,b").input_names == ("a,b",)
    assert read_table(path).inputs.tolist() == [[1, 2]]


@pytest.mark.parametrize("name", ["x^0", "x\x9c", "BZh", "(\u00b5/\u00fd"])
def test_text_that_begins_like_a_packed_file_is_text(tmp_path, name):
    """Found by fuzzing: a table whose first column was named ``x^0`` was unpacked as a zlib stream."""
    if name.isprintable():
        assert read_table(written(tmp_path, f"{name},pred\n1,2\n")).input_names == (name,)
    problem = f"the column 'a' is not numeric: line 2 holds {name!r}"
    assert refused(written(tmp_path, f"a,pred\n{name},2\n")).startswith(problem)


def test_incomplete_rows_are_dropped_and_counted(tmp_path):
    rows = ["1,2,3,", ",2,3,x", "1,NA,3,", "1,2,nan,", "1,2,inf,", "1,2,-Infinity,", "4,5,6,text"]
    table = read_table(written(tmp_path, "a,b,pred,true\n" + "\n".join(rows)))
    assert table.inputs.tolist() == [[1, 2], [4, 5]]
    assert (table.dropped, table.dropped_columns) == (5, ("a", "b", "pred"))


def test_line_ends_marks_and_blank_lines_of_other_systems(tmp_path):
    expected = read_table(written(tmp_path, CSV)).sha256
    for changed in (
        CSV.replace("\n", "\r\n"),
        CSV.replace("\n", "\r"),
        "\ufeff" + CSV,
        CSV.removesuffix("\n"),
        CSV + "\n  \n",
        CSV.replace("\n", "\n\n"),
        CSV.replace("x_1,", '"x_1",'),
        CSV.replace("x_1,", " x_1 ,"),
        CSV.replace("0.5,", '"0.5",'),
        CSV.replace("0.5,", "5e-1,"),
        CSV.replace("0.5,", "+0.5,"),
        CSV.replace("0.5,", " 0.5,"),
    ):
        assert read_table(written(tmp_path, changed)).sha256 == expected


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty."),
        ("\n \n", "is empty."),
        ("\na,pred\n1,2\n", "has no header: its first line is empty. Put the column names on top."),
        ("1,2\n3,4\n", "has no header: its first line holds numbers. Put the column names on top."),
        ("a;pred\n1;2\n", "seems to be separated by semicolons, not by commas. "),
        ("a\tpred\n1\t2\n", "seems to be separated by tabs, not by commas. "),
        ("some text\nmore text\n", "is not a table of several columns. "),
        ("<html>\n", "is not a table of several columns. "),
        (
            "a,b\n1,2\n",
            "has no column 'pred' and none named 'pred_*'. Name the recorded outputs with --target; the ",
        ),
        (
            "pred,true\n1,2\n",
            "has no column left to be an input. Name them with --inputs; the ",
        ),
        ("a,a,pred\n1,2,3\n", "has two columns named 'a'. Rename one of them."),
        ("a,,pred\n1,2,3\n", "has a column named ''. Give every column a name."),
        ('a,"b\n",pred\n1,2,3\n', "has a column named 'b\\n'. Give every column a name."),
        ("a\x1b,pred\n1,2\n", "has a column named 'a\\x1b'. Give every column a name."),
        ("a,pred\n", "has a header but no rows."),
        ("a,pred\n1,\n2,\n", "has no usable row: every row lacks a finite value, most often in 'pred'."),
        (
            "a,pred\n1,2\n1\n",
            "line 3 has 1 values but the header has 2 names. Give every row ",
        ),
        (
            "a,pred\n1,2\n\n1,2,3\n",
            "line 4 has 3 values but the header has 2 names. Give every row ",
        ),
        (
            'a,"pred"\n1,2\n"1"\n',
            "line 3 has 1 values but the header has 2 names. Give every row ",
        ),
        ('a,pred\n1,2\n"3,4\n5,6\n', "line 4 is damaged: unexpected end of data."),
        (
            "a,pred\n1,2\n\nx,3\n",
            "the column 'a' is not numeric: line 4 holds 'x'. Leave the column out ",
        ),
        ("a,pred\n1,2\n3,1_0\n", "the column 'pred' is not numeric: line 3 holds '1_0'. "),
        ("a,pred\n1,2\n3,0x1\n", "the column 'pred' is not numeric: line 3 holds '0x1'. "),
        ("a,pred\n1,2\n3,1.5.2\n", "the column 'pred' is not numeric: line 3 holds '1.5.2'. "),
        (b"a,pred\n1,\x002\n", "is no text: it holds NUL bytes. Save it as CSV, Parquet or npz."),
        (b"a,pred\n1,2\n\xe4,2\n", "is not encoded in UTF-8: line 3. Save it in UTF-8."),
        (CSV.encode("utf-16"), "is encoded in UTF-16. Save it in UTF-8."),
        (b"\x1f\x8b\x08\x00abc", "is a gzip archive, not a table. Save it as CSV, Parquet or npz."),
        (b"PAR1 no more", "is a Parquet file that is cut short. The file is cut short or damaged; write it again."),
        (b"PAR1" + bytes(50) + b"PAR1", "is a damaged Parquet file. The file is cut short or damaged; write it again."),
        (
            b"PK\x03\x04 no more",
            "is a zip archive without its directory. The file is cut short or damaged; copy it again.",
        ),
    ],
)
def test_tables_that_are_refused(tmp_path, content, problem):
    assert refused(written(tmp_path, content)).startswith(problem)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"target": "perd"}, "has no column 'perd'. Did you mean 'pred'."),
        ({"target": "zzz"}, "has no column 'zzz'. For --target, the columns are 'x_1', 'x_2', 'x_10', 'pred', 'true'."),
        ({"target": "y_*"}, "has no column 'y_*'. For --target, the columns are "),
        ({"inputs": "x_1,nothing"}, "has no column 'nothing'. For --inputs, the columns are "),
        ({"inputs": "x_1,pred"}, "'pred' is asked for as input and as target. Take it out of --inputs."),
        ({"inputs": "pred*"}, "has no column left to be an input. Name them with --inputs; "),
        ({"target": ""}, "has no column ''. "),
    ],
)
def test_requests_that_are_refused(tmp_path, options, problem):
    assert refused(written(tmp_path, CSV), **options).startswith(problem)


def test_paths_that_are_refused(tmp_path):
    assert refused(tmp_path / "none.csv") == "there is no such file or folder."
    assert refused(tmp_path) == "is a folder, not a file."


def test_the_first_bad_line_is_named_in_a_long_file(tmp_path):
    lines = ["a,b,pred"] + ["1.5,2,3"] * 30_000
    lines[20_000] = "1,--,3"
    assert refused(written(tmp_path, "\n".join(lines))).startswith(
        "the column 'b' is not numeric: line 20001 holds '--'"
    )
    assert read_table(tmp_path / "data.csv", inputs="a").rows == 30_000


def test_parquet_and_npz_give_the_same_table(tmp_path):
    frame = pl.DataFrame({"x_0": [1.0, 2, 3], "x_1": [4, 5, 6], "flag": [True, False, True], "pred": [0.5, None, 1.5]})
    frame.write_parquet(tmp_path / "data.parquet")
    table = read_table(tmp_path / "data.parquet")
    assert table.inputs.tolist() == [[1, 4, 1], [3, 6, 1]]
    assert (table.dropped, table.dropped_columns) == (1, ("pred",))
    x = np.array([[1, 4], [2, 5], [3, 6]])
    np.savez(tmp_path / "data.npz", x=x, flag=[True, False, True], pred=[0.5, np.nan, 1.5])
    assert read_table(tmp_path / "data.npz").sha256 == table.sha256
    for path in ("data.npz", "data.parquet"):
        assert not read_table(tmp_path / path).output_step.any()
        assert not read_table(tmp_path / path).input_step.any()


def test_npz_groups_of_columns(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.ones((4, 2)), extra=np.ones(4), pred=np.zeros((4, 3), np.float16))
    table = read_table(tmp_path / "data.npz")
    assert table.output_names == ("pred_0", "pred_1", "pred_2")
    assert table.input_names == ("x_0", "x_1", "extra")
    assert read_table(tmp_path / "data.npz", target="pred", inputs="x").input_names == ("x_0", "x_1")


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"x": np.ones((4, 2)), "pred": np.ones(5)}, "the array 'x' has 4 rows but 'pred' has 5."),
        (
            {"x": np.ones((4, 2, 2)), "pred": np.ones(4)},
            "the array 'x' has 3 axes; a column has one, a set of columns two.",
        ),
        ({"x": np.ones(()), "pred": np.ones(4)}, "the array 'x' has 0 axes; a column has one"),
        (
            {"x": np.ones((2, 1)), "x_0": np.ones(2), "pred": np.ones(2)},
            "has two columns named 'x_0'. Rename one of the arrays.",
        ),
        ({"x": np.ones(2, complex), "pred": np.ones(2)}, "the array 'x' is not numeric: it holds complex128. "),
        ({"x": np.array(["a"]), "pred": np.ones(1)}, "the array 'x' holds items of the type '<U1', not numbers. "),
        ({"x": np.ones((0, 2)), "pred": np.ones(0)}, "has a header but no rows."),
    ],
)
def test_npz_tables_that_are_refused(tmp_path, arrays, problem):
    np.savez(tmp_path / "data.npz", **arrays)
    assert refused(tmp_path / "data.npz").startswith(problem)


def test_parquet_columns_that_are_refused(tmp_path):
    path = tmp_path / "data.parquet"
    pl.DataFrame({"a": ["x"], "b": [1.0], "pred": [1.0]}).write_parquet(path)
    assert refused(path).startswith("the column 'a' is not numeric: it holds String. Leave the column out")
    assert read_table(path, inputs="b").inputs.tolist() == [[1.0]]


def test_code_beside_a_parquet_file_is_not_run(tmp_path, monkeypatch):
    sentinel = tmp_path / "sentinel"
    (tmp_path / "json.py").write_text(f"open({str(sentinel)!r}, 'w')")
    pl.DataFrame({"a": [1.0], "pred": [1.0]}).write_parquet(tmp_path / "data.parquet")
    monkeypatch.chdir(tmp_path)
    assert read_table("data.parquet").rows == 1
    assert not sentinel.exists()


@given(st.integers(0, 6), st.lists(st.integers(-(10**6), 10**6), min_size=30, max_size=60), st.randoms())
def test_the_grid_is_that_of_the_decimals_written(k, integers, random):
    integers[random.randrange(30)] = 10**6 + 1  # one value needs all k decimals
    column = np.array([float(f"{value}e-{k}") for value in integers])
    assert decimal_step(column) == 10.0**-k
    assert decimal_step(column + 1e-9 * np.pi) == 0.0


def test_float32_written_in_full_has_no_grid():
    column = np.random.default_rng(0).normal(size=500).astype(np.float32)
    text = io.StringIO()
    np.savetxt(text, column, fmt="%s")
    assert decimal_step(np.array([float(line) for line in text.getvalue().split()])) == 0.0


def test_grids_of_a_table(tmp_path):
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "full": rng.normal(size=100),
            "four": rng.normal(size=100).round(4),
            "pixel": rng.integers(0, 17, 100) / 16,
            "count": rng.integers(0, 9, 100),
            "pred_a": rng.normal(size=100).round(2),
            "pred_b": rng.integers(0, 9, 100),
        }
    )
    frame.write_csv(tmp_path / "data.csv")
    table = read_table(tmp_path / "data.csv")
    assert table.input_step.tolist() == [0.0, 1e-4, 0.0, 0.0]
    assert table.output_step.tolist() == [0.01, 1.0]
    assert is_dyadic(np.array([0.0625, 3]))
    assert not is_dyadic(np.array([0.1]))


@given(st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2), min_size=1, max_size=8))
def test_what_numpy_reads_is_what_polars_reads_to_the_last_bit(tmp_path_factory, rows):
    text = "x,pred\n" + "".join(f"{a!r},{b!r}\n" for a, b in rows)
    file = CsvFile(FileBytes(written(tmp_path_factory.mktemp("t"), text)))
    assert file._is_plain()
    for columns in ([0, 1], [1, 0], [1]):
        np.testing.assert_array_equal(file._read_plain(columns), file._read_any(columns))
        np.testing.assert_array_equal(file._read_plain(columns), np.array(rows)[:, columns])


@pytest.mark.parametrize("row", ["1,", ",1", "1,,", "nan,1", "1 ,2", "0x1,2", "", "inf,1", '"1",2'])
def test_what_is_not_plain_is_left_to_polars(tmp_path, row):
    text = f"x,pred,y\n1,2,3\n{row},3\n" if row else "x,pred,y\n1,2,3\n\n4,5,6\n"
    try:
        file = CsvFile(FileBytes(written(tmp_path, text)))
    except TableError:  # too many values
        return
    assert not file._is_plain()


@pytest.mark.parametrize("value", ["1e", "--1", "1.2.3", "+", "e5", "1-2"])
def test_digits_that_make_no_number_are_named(tmp_path, value):
    problem = refused(written(tmp_path, f"x,pred\n1,2\n{value},3\n"))
    assert problem.startswith(f"the column 'x' is not numeric: line 3 holds '{value}'")
