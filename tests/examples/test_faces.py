from __future__ import annotations

import hashlib
from pathlib import Path

SHA256 = {
    "impostor_1.jpg": "fd360e7db2701c83755858b81b15b65be46e33edb13369ea25678a8dcf58f2bb",
    "impostor_2.jpg": "bc41f40bbe0bd87b954455206228caad2754ad05ba31c414bb596e9a381ab1fb",
    "person_a_1.jpg": "62ebd741c4f170f6ecf0a579424fac0af94d5d8855ec77560ee312e55dc61caa",
    "person_a_2.jpg": "661947067cffbedc735a4e721643e6a05a656639d819488b94c45623265530bf",
    "person_b_1.jpg": "2e1fea7261609a8e054f6f66402e3372ad3e66029610805ac9b4172868c3263d",
    "person_b_2.jpg": "05c1befe8c9a3c644224afb58821e7e7421fcc2ef28f742bdd6c20e79787dc6b",
}


def test_photographs_are_the_ones_credited(faces: Path) -> None:
    digests = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in faces.glob("*.jpg")}

    assert digests == SHA256


def test_every_photograph_has_its_credit_and_licence(faces: Path) -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (faces / "CREDITS.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]

    assert {row[0].strip("`") for row in rows} == SHA256.keys()
    for _, person, source, author, licence in rows:
        assert person
        assert source.startswith("[Wikimedia Commons](https://commons.wikimedia.org/wiki/File:")
        assert author
        assert licence == "Public domain" or licence.startswith("[CC BY")
