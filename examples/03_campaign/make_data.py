"""Makes the data of this example from sets that come with scikit-learn: rows to train on, and rows to predict.

    python examples/03_campaign/make_data.py

The tables in ``data/`` were made so. The answers of the rows to predict are left out, as a competition does.
"""

from __future__ import annotations

from pathlib import Path

from sklearn.datasets import load_breast_cancer, load_diabetes

DATA = Path(__file__).parent / "data"
SETS = {"tumours": (load_breast_cancer, "benign"), "diabetes": (load_diabetes, "progression")}


def main() -> None:
    """Writes ``<set>_train.csv`` and ``<set>_test.csv``; every fourth row is to be predicted."""
    DATA.mkdir(exist_ok=True)
    for name, (load, target) in SETS.items():
        table = load(as_frame=True).frame.rename(columns={"target": target}).round(5)
        table.columns = [column.replace(" ", "_") for column in table.columns]
        table.insert(0, "id", range(len(table)))
        is_test = table["id"] % 4 == 3
        table[~is_test].to_csv(DATA / f"{name}_train.csv", index=False)
        table[is_test].drop(columns=target).to_csv(DATA / f"{name}_test.csv", index=False)


if __name__ == "__main__":
    main()
