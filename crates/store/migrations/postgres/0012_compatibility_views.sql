-- Views under the names that people's queries know from elsewhere stand in this schema or in another one, and are not part of
-- its version: the operator makes and drops them as database.compatibility says.
CREATE TABLE compatibility_views (
    view_schema  text NOT NULL,
    view_name    text NOT NULL,
    definition   text NOT NULL,
    PRIMARY KEY (view_schema, view_name)
);
COMMENT ON TABLE compatibility_views IS 'Views that were made of these tables under other names, and as what; nobody else''s is touched.';
