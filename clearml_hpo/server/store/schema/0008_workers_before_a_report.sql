-- A worker that has registered and not yet reported has no last report. What is known of workers comes again within a minute.

DROP TABLE workers;
CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    ip TEXT,
    register_time TEXT NOT NULL,
    register_timeout INTEGER NOT NULL,
    last_activity_time TEXT NOT NULL,
    last_report_time TEXT,
    task TEXT,
    queue TEXT,
    queues TEXT NOT NULL,
    tags TEXT NOT NULL,
    system_tags TEXT NOT NULL
);
CREATE INDEX workers_by_task ON workers (task);
