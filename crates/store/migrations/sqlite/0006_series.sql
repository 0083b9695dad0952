-- Where an exchange numbers a symbol's trades anew: the evidence, and the series before and behind. The comments on
-- its columns stand in PostgreSQL's migration of the same number.

ALTER TABLE symbol_head ADD COLUMN began_at_us INTEGER;
ALTER TABLE symbol_head ADD COLUMN ended_at_us INTEGER;
ALTER TABLE symbol_head ADD COLUMN restarted_at_us INTEGER;
ALTER TABLE symbol_head ADD COLUMN restart_evidence INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX symbol_head_current ON symbol_head (venue, symbol) WHERE ended_at_us IS NULL;
