-- What workers say of their machines. The processor's cores are kept as their mean, GPUs each as a variant ("0", "1", ...);
-- moments are milliseconds since the epoch, and what is older than two days is removed.

CREATE TABLE machine_stats (
    worker TEXT NOT NULL,
    metric TEXT NOT NULL,
    variant TEXT NOT NULL,
    moment INTEGER NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (worker, metric, variant, moment)
) WITHOUT ROWID;
CREATE INDEX machine_stats_by_moment ON machine_stats (moment);
