-- SQLite alone had numbers in their place.
SELECT 1;
