-- Numbers stay what they were reported as, whole or not: columns without a type convert nothing. A value that was
-- reported as null is NULL, and so is what used to be NaN. Console lines and reports are removed with a task's events;
-- series stay, as last_metrics does.

CREATE TABLE new_series (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    metric TEXT NOT NULL,
    variant TEXT NOT NULL,
    metric_hash TEXT NOT NULL,
    variant_hash TEXT NOT NULL,
    value,
    min_value,
    min_value_iteration INTEGER,
    max_value,
    max_value_iteration INTEGER,
    first_value REAL,
    first_value_iteration INTEGER,
    count INTEGER NOT NULL,
    total REAL,
    x_axis_label TEXT,
    UNIQUE (owner, metric_hash, variant_hash)
);
INSERT INTO new_series SELECT *, NULL FROM series;
DROP TABLE series;
ALTER TABLE new_series RENAME TO series;

CREATE TABLE new_scalars (
    series INTEGER NOT NULL,
    iter INTEGER NOT NULL,
    value,
    timestamp INTEGER NOT NULL,
    worker TEXT,
    PRIMARY KEY (series, iter)
) WITHOUT ROWID;
INSERT INTO new_scalars SELECT * FROM scalars;
DROP TABLE scalars;
ALTER TABLE new_scalars RENAME TO scalars;
