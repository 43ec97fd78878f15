-- DICOM instances: which objects they are, found by tags (HMACs of a field's name and value) without
-- the values. A series here is all instances of one study and series that have the same tags.
CREATE TABLE dicom_series (
    id INTEGER PRIMARY KEY,
    same BLOB NOT NULL UNIQUE, -- a hash of all its tags
    study BLOB NOT NULL,       -- its study's tag
    series BLOB NOT NULL       -- its series' tag
) STRICT;
CREATE INDEX dicom_series_study ON dicom_series (study);

CREATE TABLE dicom_tags (
    tag BLOB NOT NULL,
    series INTEGER NOT NULL REFERENCES dicom_series (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, series)
) STRICT, WITHOUT ROWID;
CREATE INDEX dicom_tags_series ON dicom_tags (series);

-- `sealed` has what lists tell of an instance, under a key derived from the object's.
CREATE TABLE dicom_instances (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    object BLOB NOT NULL UNIQUE REFERENCES objects (id) ON DELETE CASCADE,
    series INTEGER NOT NULL REFERENCES dicom_series (id),
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX dicom_instances_series ON dicom_instances (series);
CREATE TRIGGER dicom_series_empty AFTER DELETE ON dicom_instances
WHEN NOT EXISTS (SELECT 1 FROM dicom_instances WHERE series = OLD.series)
BEGIN DELETE FROM dicom_series WHERE id = OLD.series; END;
