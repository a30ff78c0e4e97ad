-- Documents: what is filtered or ordered has a column; the rest of a document is JSON text.

CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    basename TEXT NOT NULL,
    description TEXT,
    parent TEXT,
    company TEXT,
    user TEXT,
    created TEXT NOT NULL,
    last_update TEXT NOT NULL,
    featured INTEGER,
    default_output_destination TEXT,
    tags TEXT NOT NULL,
    system_tags TEXT NOT NULL,
    metadata TEXT
);
CREATE INDEX projects_by_parent ON projects (parent);

CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    company TEXT,
    user TEXT,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    status_reason TEXT,
    status_message TEXT,
    status_changed TEXT,
    enqueue_status TEXT,
    comment TEXT,
    report TEXT,
    report_assets TEXT NOT NULL,
    created TEXT NOT NULL,
    started TEXT,
    completed TEXT,
    published TEXT,
    active_duration INTEGER,
    parent TEXT,
    project TEXT,
    output TEXT NOT NULL,
    execution TEXT NOT NULL,
    tags TEXT NOT NULL,
    system_tags TEXT NOT NULL,
    script TEXT NOT NULL,
    last_worker TEXT,
    last_worker_report TEXT,
    last_update TEXT NOT NULL,
    last_change TEXT NOT NULL,
    last_changed_by TEXT,
    last_iteration INTEGER NOT NULL,
    hyperparams TEXT NOT NULL,
    configuration TEXT NOT NULL,
    runtime TEXT NOT NULL,
    models TEXT NOT NULL,
    container TEXT NOT NULL
);
CREATE INDEX tasks_by_project ON tasks (project, last_update);
CREATE INDEX tasks_by_parent ON tasks (parent, last_update);
CREATE INDEX tasks_by_status ON tasks (status, last_update);
CREATE INDEX tasks_by_last_update ON tasks (last_update);
CREATE INDEX tasks_by_created ON tasks (created);
CREATE INDEX tasks_by_name ON tasks (name);

CREATE TABLE models (
    id TEXT PRIMARY KEY,
    company TEXT,
    user TEXT,
    name TEXT NOT NULL,
    project TEXT,
    parent TEXT,
    created TEXT NOT NULL,
    task TEXT,
    comment TEXT,
    tags TEXT NOT NULL,
    system_tags TEXT NOT NULL,
    uri TEXT,
    framework TEXT,
    design TEXT,
    labels TEXT,
    ready INTEGER NOT NULL,
    ui_cache TEXT,
    last_update TEXT NOT NULL,
    last_change TEXT NOT NULL,
    last_changed_by TEXT,
    last_iteration INTEGER NOT NULL,
    metadata TEXT NOT NULL
);
CREATE INDEX models_by_project ON models (project, created);
CREATE INDEX models_by_task ON models (task);
CREATE INDEX models_by_uri ON models (uri);

-- Queues. A task stands in at most one queue, and only while its status is "queued".

CREATE TABLE queues (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    display_name TEXT,
    company TEXT,
    user TEXT,
    created TEXT NOT NULL,
    last_update TEXT NOT NULL,
    tags TEXT NOT NULL,
    system_tags TEXT NOT NULL,
    metadata TEXT NOT NULL
);

CREATE TABLE queue_entries (
    task TEXT PRIMARY KEY,
    queue TEXT NOT NULL,
    position INTEGER NOT NULL,
    added TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX queue_entries_in_order ON queue_entries (queue, position);

CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    ip TEXT,
    register_time TEXT NOT NULL,
    register_timeout INTEGER NOT NULL,
    last_activity_time TEXT NOT NULL,
    last_report_time TEXT NOT NULL,
    task TEXT,
    queue TEXT,
    queues TEXT NOT NULL,
    tags TEXT NOT NULL,
    system_tags TEXT NOT NULL
);
CREATE INDEX workers_by_task ON workers (task);

-- Events. "owner" is a task, or a model for model events. One row of series per (metric, variant) holds what
-- last_metrics shows, so that it can be ordered by without reading the scalars. NaN is kept as NULL.

CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    metric TEXT NOT NULL,
    variant TEXT NOT NULL,
    metric_hash TEXT NOT NULL,
    variant_hash TEXT NOT NULL,
    value REAL,
    min_value REAL,
    min_value_iteration INTEGER,
    max_value REAL,
    max_value_iteration INTEGER,
    first_value REAL,
    first_value_iteration INTEGER,
    count INTEGER NOT NULL,
    total REAL,
    UNIQUE (owner, metric_hash, variant_hash)
);

CREATE TABLE scalars (
    series INTEGER NOT NULL,
    iter INTEGER NOT NULL,
    value REAL,
    timestamp INTEGER NOT NULL,
    worker TEXT,
    PRIMARY KEY (series, iter)
) WITHOUT ROWID;

CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    level TEXT,
    worker TEXT,
    msg TEXT NOT NULL,
    iter INTEGER,
    received TEXT NOT NULL
);
CREATE INDEX logs_in_order ON logs (owner, timestamp, id);

CREATE TABLE reports (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    type TEXT NOT NULL,
    metric TEXT NOT NULL,
    variant TEXT NOT NULL,
    iter INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (owner, type, metric, variant, iter)
);

CREATE TABLE metric_stats (
    owner TEXT NOT NULL,
    metric TEXT NOT NULL,
    type TEXT NOT NULL,
    last_update INTEGER NOT NULL,
    PRIMARY KEY (owner, metric, type)
) WITHOUT ROWID;
