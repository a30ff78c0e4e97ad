-- Key pairs besides that of the data directory's owner. Of a secret, only a salted hash is kept.

CREATE TABLE key_pairs (
    access_key TEXT PRIMARY KEY,
    label TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    created TEXT NOT NULL,
    last_used TEXT,
    revoked TEXT
) WITHOUT ROWID;
CREATE UNIQUE INDEX key_pairs_in_use ON key_pairs (label) WHERE revoked IS NULL;
