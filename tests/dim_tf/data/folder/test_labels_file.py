"""Files of labels, as people have them."""

import pytest

from dim_tf.data.folder.labels_file import read_labels_file
from dim_tf.data.folder.split_names import Role
from dim_tf.system.errors import InputError


@pytest.fixture
def read(tmp_path):
    """A function that reads a file of labels of this content."""

    def of(content, label_column=""):
        path = tmp_path / "labels.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_labels_file(path, label_column)

    return of


@pytest.mark.parametrize("separator", ",;\t")
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_column_of_texts_is_classes(read, separator, line_end):
    rows = ["file,class", "a.jpg, dog ", 'b.jpg,"cat, big; fat"', "c.jpg,", "", "d.jpg,dog"]
    if separator != ",":
        rows = [row.replace(",", separator) for row in rows]
    rows[2] = f'b.jpg{separator}"cat, big"'
    rows.append(f"e.jpg{separator}cat, big" if separator != "," else 'e.jpg,"cat, big"')
    file = read("\ufeff" + line_end.join(rows))
    assert file.files == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    assert file.lines == [2, 3, 4, 6, 7]
    assert file.label_names == ("cat, big", "dog")
    assert file.labels.tolist() == [1, 0, -1, 1, 0]
    assert file.description == "the column class of labels.csv, 2 classes"
    assert file.roles == []


def test_a_field_of_several_lines_counts_its_lines(read):
    file = read('file,label\n"a\nb.jpg",x\nc,x\nd,y\ne,y\n')
    assert file.files[0] == "a\nb.jpg"
    assert file.lines == [2, 4, 5, 6]


def test_numbers_are_classes_in_their_order(read):
    file = read("id_code,diagnosis\na,10\nb,2\nc,2.0\nd,10.0\ne,nan\n")
    assert file.label_names == ("2", "10")
    assert file.labels.tolist() == [1, 0, 0, 1, -1]
    assert read("id,x\na,07\nb,7\nc,07\nd,7").label_names == ("07", "7")
    assert read("id,x\na,2\nb,2\nc,2.0x\nd,2.0x\n").label_names == ("2", "2.0x")


def test_labels_with_a_bar_or_semicolon_between_are_attributes(read):
    file = read("Image Index,Finding Labels\na,Mass|Effusion\nb,No Finding\nc,\nd,Mass ; Hernia;\n")
    assert file.label_names == ("Effusion", "Hernia", "Mass", "No Finding")
    assert file.labels.tolist() == [[1, 0, 1, 0], [0, 0, 0, 1], [-1] * 4, [0, 1, 1, 0]]
    assert file.description == "the column Finding Labels of labels.csv, 4 attributes"


def test_columns_of_0_and_1_are_attributes(read):
    file = read("path,hat,male,old\na,1,0,yes\nb,,1.0,TRUE\nc,,,\nd,-1,False,no\n")
    assert file.label_names == ("hat", "male", "old")
    assert file.labels.tolist() == [[1, 0, 1], [0, 1, 1], [-1] * 3, [0, 0, 0]]
    assert file.description == "3 columns of labels.csv, attributes, -1 as 0"
    assert read("path,b,a\nx,1,1\ny,-1,1\n").description == "2 columns of labels.csv, attributes"


def test_columns_of_which_each_row_has_one_1_are_classes(read):
    file = read("image,MEL,NV,BCC\na,0.0,1.0,0.0\nb,1,0,0\nc,,,\n")
    assert file.label_names == ("MEL", "NV", "BCC")
    assert file.labels.tolist() == [1, 0, -1]
    assert "of which each row has one 1: classes" in file.description


def test_the_column_of_files_is_known_by_its_name_or_is_the_first(read):
    rows = "1,a.jpg,x\n2,b.jpg,x\n3,c.jpg,y\n4,d.jpg,y\n"
    assert read(f",Image-ID,label\n{rows}").files[0] == "a.jpg"
    assert read(f"Unnamed: 0,filename,label\n{rows}").files[0] == "a.jpg"
    assert read(f"lesion,image_id,label\n{rows}", "label").files[0] == "a.jpg"
    assert read("id,label\na,x\nb,x\nc,y\nd,y").files == list("abcd")
    assert read(",label\na,x\nb,x\nc,y\nd,y").files == list("abcd")
    assert "column label of" in read("\ufefflabel,file\nx,a\nx,b\ny,c\ny,d").description
    assert read("what,label,\na,x,\nb,x,\nc,y,\nd,y,").files == list("abcd")


def test_columns_are_chosen_by_name(read):
    content = 'file,dx,age,"a, b",c\na,x,80,1,0\nb,x,80,1,1\nc,y,,0,1\nd,y,,0,1\n'
    assert read(content, "dx").label_names == ("x", "y")
    assert read(content, "a, b").label_names == ("0", "1")
    assert read(content, 'c,"a, b"').label_names == ("c", "a, b")
    assert read(content, 'c,"a, b"').labels.tolist() == [[0, 1], [1, 1], [1, 0], [1, 0]]


def test_a_column_called_split_says_the_splits(read):
    content = "file,label,Split\na,x,train\nb,x,Testing\nc,y,val\nd,y,\ne,y,unlabeled\n"
    file = read(content)
    assert file.roles == [Role.TRAINING, Role.TEST, Role.VALIDATION, None, Role.UNLABELLED]
    assert file.label_names == ("x", "y")
    assert read("file,label,split\na,x,0\nb,x,0\nc,y,1\nd,y,1\n", "split").roles == []


@pytest.mark.parametrize(
    ("content", "label_column", "message"),
    [
        ("", "", "begins with '';"),
        ("a.jpg\nb.jpg\n", "", r"begins with 'a.jpg'; expected a header"),
        (
            "a.jpg,x\nb.jpg,y\n",
            "",
            "begins with 'a.jpg,x', .*expected a header line",
        ),
        ("file,a,b\n\n", "", "has a header line alone"),
        ("file,label\na,x\nb\n", "", "line 3, has 1 fields, expected the 2"),
        ("file,label\na,x,y\n", "", "line 2, has 3 fields, expected the 2"),
        ('file,label\n\na,"x"y\n', "", "line 3, is not CSV"),
        (f"file,label\na,x\nb,{'x' * 2**18}\n", "", "line 3, has a field of more than 131,072 ch"),
        ('file,label\na,"' + "x\n" * 2**17, "", "line 2, .*; close its double quotes"),
        (b"file,label\na,x\nb,\xe4\n", "", "line 3, is not UTF-8"),
        ("file,label\na,x\n,y\n", "", "line 3: the column file is empty"),
        ("file,label,label\na,x,y\n", "", "has the column label twice"),
        ("file,split\na,train\n", "", "no column of labels beside 'file'"),
        ("file,label\na,x\nb,x\n", "", "has 1 different values in 2 rows; expected two classes"),
        ("file,label\na,0.1\nb,0.2\nc,0.3\n", "", "has 3 different values in 3 rows"),
        ("file,label\na,|\n", "", "has 0 attributes; expected 1 to 1,000"),
        ("file,label\na," + "|".join(map(str, range(1001))), "", "has 1,001 attributes"),
        ("file,label\na,\n", "", "has 0 different values in 0 rows"),
        ("file,dx,age\na,0,1\nb,1,80\n", "", r"line 3: '80' in the column age; .* of dx, age"),
        ("file,a,b\nx,,\n", "", "no label in any row"),
        ("file,a,b\nx,1,1\n", "a,c", r"no column of labels 'c'; expected one or more of a, b"),
        ("file,a,b\nx,1,1\n", "file", "no column of labels 'file'"),
        ("file,a,b,split\nx,1,1,3\n", "", "line 2: '3' in the column split; expected train, val"),
    ],
)
def test_what_is_no_file_of_labels_is_an_error_of_one_line(read, content, label_column, message):
    with pytest.raises(InputError, match=message) as caught:
        read(content, label_column)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(InputError, match=r"cannot be read .*; give a CSV file"):
            read_labels_file(path)
