-- A file has no user whose queries know its tables by other names. The version is that of the other databases.
SELECT 12;
