-- Where an exchange numbers a symbol's trades anew: the evidence, and the series before and behind.

ALTER TABLE symbol_head
    ADD COLUMN began_at          timestamptz,
    ADD COLUMN ended_at          timestamptz,
    ADD COLUMN restarted_at      timestamptz,
    ADD COLUMN restart_evidence  bigint NOT NULL DEFAULT 0,
    ADD CHECK ((series = 0) = (began_at IS NULL)),
    ADD CHECK ((restart_evidence = 0) = (restarted_at IS NULL));
CREATE UNIQUE INDEX symbol_head_current ON symbol_head (venue, symbol) WHERE ended_at IS NULL;
COMMENT ON COLUMN symbol_head.began_at IS 'Trades from this time on belong to the series; null in the first one.';
COMMENT ON COLUMN symbol_head.ended_at IS 'Trades from this time on belong to the next series; null in the current one.';
COMMENT ON COLUMN symbol_head.restarted_at IS 'The earliest trade that contradicts the ids held: an id that is not above them, and a later time.';
COMMENT ON COLUMN symbol_head.restart_evidence IS 'How many trades do; ten prove that the ids began anew, and what the exchange itself answers counts as ten.';
