-- Days are tables in PostgreSQL only, and SQLite has no users who may do less than others.
SELECT 1;
