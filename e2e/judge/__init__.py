"""An independent judge of what the pipeline claims: another language, no code shared with it."""
