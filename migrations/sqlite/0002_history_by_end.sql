-- assignments go by when they ended
CREATE INDEX lease_history_ended ON lease_history (ended) WHERE ended IS NOT NULL;
