-- What was there when, for charts. Times are milliseconds since the epoch; what is older than 30 days is removed.

-- A worker was there, all the time busy or all the time idle.
CREATE TABLE worker_spans (
    id INTEGER PRIMARY KEY,
    worker TEXT NOT NULL,
    busy INTEGER NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL
);
CREATE INDEX worker_spans_by_worker ON worker_spans (worker, until);
CREATE INDEX worker_spans_by_until ON worker_spans (until);

-- How long a queue was just after it had changed, and how many seconds its tasks had waited on average.
CREATE TABLE queue_moments (
    queue TEXT NOT NULL,
    moment INTEGER NOT NULL,
    length INTEGER NOT NULL,
    waiting REAL NOT NULL,
    PRIMARY KEY (queue, moment)
) WITHOUT ROWID;
CREATE INDEX queue_moments_by_moment ON queue_moments (moment);
