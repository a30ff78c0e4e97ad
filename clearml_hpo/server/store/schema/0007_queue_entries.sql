-- A task may stand in several queues, and stays in one whatever becomes of its status; the task need not exist.

CREATE TABLE entries_of_any_task (
    queue TEXT NOT NULL,
    task TEXT NOT NULL,
    position INTEGER NOT NULL,
    added TEXT NOT NULL,
    PRIMARY KEY (queue, task)
) WITHOUT ROWID;
INSERT INTO entries_of_any_task (queue, task, position, added) SELECT queue, task, position, added FROM queue_entries;
DROP TABLE queue_entries;
ALTER TABLE entries_of_any_task RENAME TO queue_entries;
CREATE INDEX queue_entries_in_order ON queue_entries (queue, position);
CREATE INDEX queue_entries_of_task ON queue_entries (task);
