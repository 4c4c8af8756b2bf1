"""Commands that read finished studies beside something else."""

from __future__ import annotations

import json


def test_compare_prints_the_paper_beside_a_study(after_study):
    code, out, err = after_study("compare", "here/tiny", "--with", "paper:table8-svhn")
    assert code == 0
    assert out.startswith("Table 8, SVHN, ResNet (arXiv 2512.03437) against here/tiny\nforget\tmethod\tmetric\t")
    assert out.endswith(" not measured\n")
    assert "the study has no forget split classes-2-0.15, classes-2-0.3; it has class" in err


def test_compare_prints_json_on_request(after_study):
    code, out, _ = after_study("compare", "here/tiny", "--with", "paper:table11", "--json")
    assert code == 0
    assert [line["metric"] for line in json.loads(out)] == ["RA", "TA", "UA"]


def test_mediation_needs_studies_that_measured_something(after_study):
    code, out, err = after_study("mediation", "here/tiny", "here/tiny")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
