"""A translated, mixed, denoised arm before a robust target of another source language: Snakemake and real scripts."""

import pytest
from miniature import Miniature

from stiltgrid.artifacts import read_json

pytestmark = pytest.mark.slow


def test_every_arm_at_once_from_its_row_to_its_checkpoint(tmp_path):
    mini = Miniature.fresh(tmp_path / "grid")
    source = mini.folder / "source"
    for task, fields in (("mnli", ("premise", "hypothesis")), ("qqp", ("question1", "question2"))):
        (source / "mt" / task).mkdir(parents=True)
        labels = {"mnli": ("entailment", "neutral"), "qqp": ("duplicate", "not_duplicate")}[task]
        rows = [f"der Hund {i}\tdie Katze {i}\t{labels[i % 2]}" for i in range(30 if task == "mnli" else 10)]
        (source / "mt" / task / "train.de.tsv").write_text("\n".join(["\t".join([*fields, "label"]), *rows]) + "\n")
    english = source / "xglue_full_dataset" / "PAWSX"
    (english / "de" / "translated_train.tsv").write_bytes((english / "en" / "train.tsv").read_bytes())
    (mini.folder / "sw.txt").write_text("paka anaona mbwa\n\nmbwa mkubwa anakimbia katika mji\n" * 5)
    (mini.folder / "near.tsv").write_text("the\tthis that\n")
    mt = {"path": "source/mt", "layout": {"train": "tsv", "dev": "glue"}}
    mini.config["sources"] |= {
        f"intermediate/{task}": mt | {"files": {"dev": f"../{task.upper()}/{file}"}}
        for task, file in (("mnli", "dev_matched.tsv"), ("qqp", "dev.tsv"))
    }
    mini.config["denoising_text"] = {"path": "{lang}.txt", "languages": ["sw"]}
    mini.config["intermediates"]["arm"] = {
        "tasks": ["mnli", "qqp"],
        "languages": ["de"],
        "mixing": "uniform",
        "denoising": 0.25,
    }
    mini.config["targets"] = {
        "pawsx": {
            "task": "xglue/pawsx",
            "languages": ["en", "de"],
            "source_language": "de",
            "robust": {"kind": "synonyms", "neighbours": "near.tsv", "copies": 2},
        }
    }
    wanted = "results/mini/checkpoints/tiny/arm/pawsx/seed1/manifest.json"
    mini.run(wanted)
    arm = read_json(mini.path("checkpoints/tiny/arm/seed1/manifest.json"))
    mixture = arm["mixture"]
    assert {name: about["inputs"] for name, about in mixture["tasks"].items()} == {
        "intermediate/mnli": 30,
        "intermediate/qqp": 10,
    }
    assert all(abs(about["share"] - 0.5) < 0.05 for about in mixture["tasks"].values())
    assert mixture["denoising"] == {"steps": 2, "share": 0.25, "languages": {"sw": 16}}
    assert arm["counts"]["steps"] == 8  # six of the tasks and two
    about = read_json(mini.path("data/intermediate/mnli/train.de.json"))
    assert arm["identity"]["data"]["intermediate/mnli"]["train"] == [about["fingerprint"]]
    assert "denoising 2 of 8 steps" in mini.log("train/tiny/arm/seed1")
    target = read_json(mini.folder / wanted)
    assert target["counts"]["train_inputs"] == 2 * target["counts"]["train_examples"]
    assert {path.name for path in mini.path("data/xglue/pawsx").glob("*.parquet")} == {
        "train.de.parquet",
        "dev.de.parquet",
    }
    german = [read_json(mini.path(f"data/xglue/pawsx/{split}.de.json"))["fingerprint"] for split in ("train", "dev")]
    assert target["identity"]["data"]["xglue/pawsx"] == {"train": german[:1], "dev": german[1:]}
    assert not mini.planned(wanted)
    # other text and other neighbours are other recipes
    (mini.folder / "near.tsv").write_text("the\tthis\n")
    (mini.folder / "sw.txt").write_text("paka mwingine anaona mbwa\n")
    assert mini.planned(wanted) == {"neighbours": 1, "text": 1, "train_intermediate": 1, "train_target": 1}
