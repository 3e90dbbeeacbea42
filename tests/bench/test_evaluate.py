"""Networks that label pictures, measured on data sets whose answer is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edgesr.bench.annotations import Annotations
from edgesr.bench.evaluate import Material, evaluate
from edgesr.bench.labels_file import class_index, read_labels
from edgesr.bench.masks import Masks, resized, voc_colors
from edgesr.errors import InputError, UsageError
from edgesr.pipelines.load import load
from tests import networks
from tests.bench.label_data import COLORS, packed, save


@pytest.fixture
def classify(tmp_path):
    with load(packed(networks.color_classifier(tmp_path / "c.onnx"), "classify", list(COLORS)), "cpu") as pipeline:
        yield pipeline


def colored(folder, rows):
    """Write a picture per row (name, colour shown, label, sex, patient) and the table."""
    lines = ["file,label,sex,patient"]
    for name, shown, label, sex, patient in rows:
        save(folder / "pictures" / f"{name}.png", np.full((20, 20, 3), COLORS[shown], np.uint8))
        lines.append(f"pictures/{name}.png,{label},{sex},{patient}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return Material(images=folder / "pictures", labels=read_labels(folder / "labels.csv", groups=["sex"]))


ROWS = [
    ("a", "red", "red", "F", "p1"),
    ("b", "green", "green", "F", "p2"),
    ("c", "blue", "2", "F", "p3"),
    ("d", "red", "RED", "F", "p4"),
    ("e", "red", "blue", "M", "p5"),
    ("f", "green", "green", "M", "p6"),
]


def test_accuracy_by_class_and_group_with_ratio_and_gap(classify, tmp_path):
    quality = evaluate("m", classify, colored(tmp_path, ROWS))
    assert quality.values["top1"] == pytest.approx(5 / 6)
    assert quality.values["balanced"] == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert quality.classes["blue"] == {"pictures": 2, "accuracy": 0.5}
    (table,) = quality.tables
    assert (table.by, table.average, table.gap) == ("sex", pytest.approx(0.75), pytest.approx(0.5))
    assert table.groups["F"].ratio == pytest.approx(1 / 0.75)
    assert table.groups["M"].ratio == pytest.approx(0.5 / 0.75)
    # Of the 15 ways to deal two of six pictures to M, five deal the wrong one.
    assert table.p_value == pytest.approx(1 / 3, abs=0.05)
    low, high = quality.document()["interval"]["top1"]
    assert 0.3 < low < 5 / 6 < high <= 1
    json.dumps(quality.document(), allow_nan=False)


def test_labels_that_are_no_class_and_broken_pictures_do_not_stop_the_rest(classify, tmp_path):
    material = colored(tmp_path, [*ROWS, ("g", "red", "reed", "M", "p7"), ("h", "red", "", "M", "p8")])
    (tmp_path / "pictures" / "a.png").write_bytes(b"no picture")
    notes = []
    quality = evaluate("m", classify, material, note=notes.append)
    assert len(quality.rows) == 5 and len(notes) == 3
    assert "the label 'reed' is no class of the model; it has red, green, blue, or 0 to 2" in quality.failures["g"]
    assert "did you mean 'red'" in quality.failures["g"]
    assert "does not name its class" in quality.failures["h"]
    assert "not a picture" in quality.failures["a"]


def test_unlabelled_pictures_are_left_out_and_a_table_of_others_is_refused(classify, tmp_path):
    material = colored(tmp_path, ROWS)
    save(tmp_path / "pictures" / "extra.png", np.zeros((9, 9, 3), np.uint8))
    notes = []
    assert len(evaluate("m", classify, material, note=notes.append).rows) == 6
    assert notes == [f"1 of 7 pictures left out, which {tmp_path / 'labels.csv'} does not name"]
    (tmp_path / "other.csv").write_text("file,label\nnone.png,red\n")
    with pytest.raises(InputError, match=r"names none of the 7 pictures"):
        evaluate("m", classify, Material(images=tmp_path / "pictures", labels=read_labels(tmp_path / "other.csv")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name a column file, path"),
        ("file,label\n", "holds no labels"),
        ("what,label\na,b\n", "must name a column file, path"),
        ("file,label\na.png\n", "line 2: has 1 fields, the first line 2"),
        ("file,label\na.png,x\na.png,y\n", "line 3: names a.png a second time"),
        ("file,label,label\na.png,x,y\n", "names the column 'label' twice"),
        ('file,label\n"a.png,x\n', "is no CSV file"),
        ("file,label\n\udcff.png,x\n", "is no CSV file in UTF-8"),
    ],
)
def test_tables_that_are_none_are_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        read_labels(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path / "none.csv")


def test_columns_that_are_not_there_are_named(tmp_path):
    (tmp_path / "t.csv").write_text("file,finding,sex\na.png,x,F\n")
    with pytest.raises(UsageError, match="has no column 'gender'; it has file, finding, sex"):
        read_labels(tmp_path / "t.csv", groups=["gender"])
    assert read_labels(tmp_path / "t.csv").label is None


@pytest.mark.parametrize("parted_by", [";", "\t"])
def test_tables_of_spreadsheets_are_read(tmp_path, parted_by):
    text = "File;Label;Age\r\na.png;red, dark;7\r\n".replace(";", parted_by)
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8-sig"))
    table = read_labels(tmp_path / "t.csv", groups=["Age"])
    row = table.row(tmp_path / "a.png")
    assert row[table.label] == "red, dark"
    assert table.groups_of(row) == {"Age": "7"}


def test_a_table_without_a_column_of_classes_is_told_how_to_name_one(classify, tmp_path):
    save(tmp_path / "p" / "a.png", np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "t.csv").write_text("file,finding\na.png,red\n")
    with pytest.raises(UsageError, match=r"has no column label, class, target; .* by --label-column: file, finding"):
        evaluate("m", classify, Material(images=tmp_path / "p", labels=read_labels(tmp_path / "t.csv")))


def test_ages_are_grouped_by_ranges_in_rising_order_and_empty_ones_are_told(classify, tmp_path):
    ages = ["100", "40", "9", "39.5", "60", "", "59"]
    lines = ["file,label,age"]
    for number, age in enumerate(ages):
        save(tmp_path / "p" / f"{number}.png", np.full((9, 9, 3), COLORS["red"], np.uint8))
        lines.append(f"{number}.png,red,{age}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    notes = []
    labels = read_labels(tmp_path / "t.csv", groups=["age:40:60"])
    (table,) = evaluate("m", classify, Material(images=tmp_path / "p", labels=labels), note=notes.append).tables
    assert {name: group.pictures for name, group in table.groups.items()} == {"<40": 2, "40 to <60": 2, ">=60": 2}
    assert list(table.groups) == ["<40", "40 to <60", ">=60"]
    assert any("1 of 7 pictures have nothing under 'age'" in note for note in notes)
    labels = read_labels(tmp_path / "t.csv", groups=["age"])
    (table,) = evaluate("m", classify, Material(images=tmp_path / "p", labels=labels)).tables
    assert list(table.groups) == ["9", "39.5", "40", "59", "60", "100"]


@pytest.mark.parametrize("words", ["age:60:40", "age:a", "age:", "age:nan", "age:40:40"])
def test_ranges_that_are_none_are_refused(tmp_path, words):
    (tmp_path / "t.csv").write_text("file,age\na.png,5\nb.png,old\n")
    with pytest.raises(UsageError, match="need rising numbers, as age:40:60, got"):
        read_labels(tmp_path / "t.csv", groups=[words])
    with pytest.raises(InputError, match="line 3: the age 'old' is no number"):
        read_labels(tmp_path / "t.csv", groups=["age:40"])


def test_names_come_before_numbers():
    assert class_index("1", ["1", "0"], 2) == 0
    assert class_index("1", ["a", "b"], 2) == 1
    with pytest.raises(InputError, match="0 to 2"):
        class_index("3", [], 3)


def test_what_a_task_needs_is_asked_for(classify, tmp_path):
    save(tmp_path / "p" / "a.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(UsageError, match="give --labels, a table"):
        evaluate("m", classify, Material(images=tmp_path / "p"))
    with pytest.raises(UsageError, match="there are no pictures"):
        evaluate("m", classify, Material())
    with pytest.raises(UsageError, match="a score threshold is for boxes"):
        evaluate("m", classify, Material(images=tmp_path / "p"), score=0.3)


@pytest.fixture
def segment(tmp_path):
    network = networks.color_segmenter(tmp_path / "s.onnx", stride=1)
    with load(packed(network, "segment", ["none", *COLORS]), "cpu") as pipeline:
        yield pipeline


def halves(left, right):
    pixels = np.zeros((16, 20, 3), np.uint8)
    pixels[:, :10], pixels[:, 10:] = COLORS[left], COLORS[right]
    return pixels


def test_miou_of_masks_in_grey_and_in_the_colours_of_voc(segment, tmp_path):
    save(tmp_path / "images" / "a.png", halves("red", "green"))
    save(tmp_path / "images" / "b.png", halves("red", "blue"))
    truth = np.ones((16, 20), np.uint8)
    truth[:, 10:] = 2
    truth[:, 15:] = 255
    save(tmp_path / "masks" / "a_mask.png", truth)
    save(tmp_path / "masks" / "b.png", voc_colors()[np.where(truth == 2, 1, truth)])
    quality = evaluate("m", segment, Material(images=tmp_path / "images", masks=tmp_path / "masks"))
    # a: red 160, green 80 right; b: red 160 right, 80 red taken for blue; 80 + 80 do not count.
    assert {name: row["iou"] for name, row in quality.classes.items()} == pytest.approx(
        {"red": 320 / 400, "green": 1, "blue": 0}
    )
    assert quality.values["miou"] == pytest.approx((0.8 + 1 + 0) / 3)
    assert quality.values["pixel_accuracy"] == pytest.approx(400 / 480)
    assert quality.values["miou_per_picture"] == pytest.approx((1 + (160 / 240 + 0) / 2) / 2)


def test_a_segmentation_without_names_needs_the_number_of_its_classes(tmp_path):
    save(tmp_path / "images" / "a.png", halves("red", "green"))
    save(tmp_path / "masks" / "a.png", np.where(halves("red", "green")[..., :1] > 0, 1, 2).astype(np.uint8))
    packed(networks.color_segmenter(tmp_path / "n.onnx", stride=1), "segment", None)
    material = Material(images=tmp_path / "images", masks=tmp_path / "masks")
    with load(tmp_path / "n.edgesr", "cpu") as nameless:
        with pytest.raises(UsageError, match="give their number with --classes"):
            evaluate("m", nameless, material)
        quality = evaluate("m", nameless, replace(material, classes=4))
    assert quality.classes == {"class 1": {"iou": 1}, "class 2": {"iou": 1}}


def test_masks_that_are_missing_or_wrong_are_kept_as_failures(segment, tmp_path):
    for name in "abcd":
        save(tmp_path / "images" / f"{name}.png", halves("red", "green"))
    save(tmp_path / "masks" / "a.png", np.ones((16, 20), np.uint8))
    save(tmp_path / "masks" / "b.png", np.full((16, 20), 9, np.uint8))
    save(tmp_path / "masks" / "d.png", halves("red", "green"))
    quality = evaluate("m", segment, Material(images=tmp_path / "images", masks=tmp_path / "masks"))
    assert [row["name"] for row in quality.rows] == ["a"]
    assert "holds class 9, of 4 classes" in quality.failures["b"]
    assert "holds no mask of c.png" in quality.failures["c"]
    assert "in other colours than Pascal VOC's" in quality.failures["d"]


def test_black_and_white_masks_and_named_values_become_classes(tmp_path):
    save(tmp_path / "m" / "a.png", np.array([[0, 255], [255, 0]], np.uint8))
    assert Masks(tmp_path / "m", 2).read(tmp_path / "a.jpg").tolist() == [[0, 1], [1, 0]]
    assert Masks(tmp_path / "m", 3, (255, 0)).read(tmp_path / "a.jpg").tolist() == [[1, 0], [0, 1]]
    with pytest.raises(InputError, match=r"holds the value 255, which is none of \[0, 3\]"):
        Masks(tmp_path / "m", 3, (0, 3)).read(tmp_path / "a.jpg")


def test_colours_of_voc_are_those_of_its_development_kit():
    # background, aeroplane, bicycle, bird, person, tvmonitor and the outlines, as in its VOClabelcolormap.
    expected = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    expected[255] = (224, 224, 192)
    assert {number: tuple(voc_colors()[number].tolist()) for number in expected} == expected


def test_masks_are_enlarged_by_the_nearest_pixel():
    mask = np.arange(6).reshape(2, 3)
    assert np.array_equal(resized(mask, 4, 6), mask.repeat(2, 0).repeat(2, 1))
    assert resized(mask, 2, 3) is mask


BOXES = np.array([[10, 10, 30, 30], [40, 4, 60, 20], [2, 2, 8, 8]], np.float32)


@pytest.fixture
def detect(tmp_path):
    outputs = {"boxes": BOXES, "scores": np.array([0.9, 0.3, 0.2], np.float32), "labels": np.array([0, 1, 1])}
    with load(packed(networks.fixed_outputs(tmp_path / "d.onnx", (32, 64), **outputs), "detect", ["cell", "dot"])) as d:
        yield d


def voc(folder, name, objects):
    entries = "".join(
        f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for label, (x1, y1, x2, y2), difficult in objects
    )
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.xml").write_text(f"<annotation><filename>{name}.png</filename>{entries}</annotation>")


def test_map_of_voc_and_of_coco_annotations(detect, tmp_path):
    pytest.importorskip("pycocotools")
    for name in "ab":
        save(tmp_path / "images" / f"{name}.png", np.zeros((32, 64, 3), np.uint8))
    voc(tmp_path / "xml", "a", [("cell", (11, 11, 30, 30), 0), ("dot", (41, 5, 60, 20), 0), ("dot", (3, 3, 8, 8), 1)])
    voc(tmp_path / "xml", "b", [("cell", (11, 11, 30, 30), 0)])
    quality = evaluate("m", detect, Material(images=tmp_path / "images", annotations=tmp_path / "xml"))
    # Every cell is found exactly. Of dots, b's two boxes come as sure as a's: two wrong of three, the ignored apart.
    assert quality.classes["cell"] == {"boxes": 2, "ap": pytest.approx(1)}
    assert quality.classes["dot"]["boxes"] == 1
    assert 0 < quality.classes["dot"]["ap"] <= 1
    assert quality.values["map"] == pytest.approx((1 + quality.classes["dot"]["ap"]) / 2)
    coco = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 9, "file_name": "sub/b.png"}],
        "categories": [{"id": 3, "name": "dot"}, {"id": 4, "name": "cell"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 4, "bbox": [10, 10, 20, 20]},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [40, 4, 20, 16]},
            {"id": 3, "image_id": 7, "category_id": 3, "bbox": [2, 2, 6, 6], "iscrowd": 1},
            {"id": 4, "image_id": 9, "category_id": 4, "bbox": [10, 10, 20, 20]},
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    same = evaluate("m", detect, Material(images=tmp_path / "images", annotations=tmp_path / "coco.json"))
    assert same.values == quality.values
    assert same.options["score"] == 0.001
    assert "map_medium" not in same.values
    coco["annotations"][0]["area"] = 40 * 40  # of its outline, by which COCO calls it medium
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    larger = evaluate("m", detect, Material(images=tmp_path / "images", annotations=tmp_path / "coco.json"))
    assert "map_medium" in larger.values and larger.values["map"] == same.values["map"]


def test_boxes_half_as_wide_count_up_to_their_iou(detect, tmp_path):
    pytest.importorskip("pycocotools")
    save(tmp_path / "images" / "a.png", np.zeros((32, 64, 3), np.uint8))
    voc(tmp_path / "xml", "a", [("cell", (11, 11, 30, 24), 0)])  # 20 x 14 inside 20 x 20: IoU 0.7
    quality = evaluate("m", detect, Material(images=tmp_path / "images", annotations=tmp_path / "xml"))
    assert quality.values["map_50"] == pytest.approx(1)
    assert quality.values["map_75"] == 0
    assert quality.values["map"] == pytest.approx(0.5)  # five of the ten thresholds 0.50, 0.55, ... 0.70


def test_annotations_that_are_missing_broken_or_of_other_classes_are_named(detect, tmp_path):
    for name in "abcde":
        save(tmp_path / "images" / f"{name}.png", np.zeros((32, 64, 3), np.uint8))
    voc(tmp_path / "xml", "a", [("cell", (11, 11, 30, 30), 0)])
    voc(tmp_path / "xml", "b", [("dog", (11, 11, 30, 30), 0)])
    (tmp_path / "xml" / "c.xml").write_text("<annotation><object></annotation>")
    (tmp_path / "xml" / "d.xml").write_text("<annotation><object><name>cell</name></object></annotation>")
    quality = evaluate("m", detect, Material(images=tmp_path / "images", annotations=tmp_path / "xml"))
    assert [row["name"] for row in quality.rows] == ["a"]
    assert "the label 'dog' is no class of the model; it has cell, dot" in quality.failures["b"]
    assert "is no VOC annotation: mismatched tag" in quality.failures["c"]
    assert "lacks its name or a side of its bndbox" in quality.failures["d"]
    assert "the annotation cannot be read" in quality.failures["e"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no COCO file of boxes"),
        ("[]", "is no COCO file of boxes"),
        ('{"categories": []}', "'images' is missing in it"),
        ('{"categories": [], "images": [], "annotations": [{"image_id": 1}]}', "1 is missing in it"),
        (
            '{"categories": [], "images": [{"id": 1, "file_name": "x/a.png"}, {"id": 2, "file_name": "y/a.png"}]}',
            "two pictures are called a.png",
        ),
    ],
)
def test_coco_files_that_are_none_are_refused(tmp_path, text, message):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(InputError, match=message):
        Annotations(tmp_path / "c.json")
