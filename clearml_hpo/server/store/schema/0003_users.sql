-- Users who logged in by name, and the one user whom the server's own key stands for.

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    company TEXT NOT NULL,
    name TEXT NOT NULL,
    given_name TEXT,
    family_name TEXT,
    created TEXT NOT NULL,
    created_in_version TEXT,
    preferences TEXT NOT NULL DEFAULT '{}'
);

UPDATE queues SET system_tags = '["default"]' WHERE name = 'default' AND system_tags = '[]';
