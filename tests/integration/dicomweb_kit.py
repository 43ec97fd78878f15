"""DICOM files to send, made by pydicom or bundled with it, and multipart by hand."""

import io
import pathlib

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SAMPLES = pathlib.Path(pydicom.__file__).parent / "data"
CT = "1.2.840.10008.5.1.4.1.1.2"
TYPE = 'multipart/related; type="application/dicom"; boundary={}'


def samples():
    """Every file that pydicom's wheel has for its own tests, whatever it is."""
    found = sorted(p for folder in ("test_files", "charset_files")
                   for p in (SAMPLES / folder).rglob("*") if p.is_file())
    assert len(found) > 150
    return found


def sample(name):
    return (SAMPLES / "test_files" / name).read_bytes()


def instance(study=None, series=None, uid=None, rows=4, **attributes):
    """The bytes of a small image with these attributes, by keyword."""
    ds = Dataset()
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = uid or generate_uid()
    ds.StudyInstanceUID = study or generate_uid()
    ds.SeriesInstanceUID = series or generate_uid()
    ds.Modality, ds.StudyDate, ds.PatientID, ds.PatientName = "CT", "20240229", "ID7", "Doe^Jane"
    ds.Rows = ds.Columns = rows
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.PixelData = bytes(i % 251 for i in range(rows * rows * 2))
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return write(ds)


def write(ds, syntax=ExplicitVRLittleEndian):
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def read(content):
    return pydicom.dcmread(io.BytesIO(content))


def multipart(parts, boundary="xx", headers="Content-Type: application/dicom\r\n"):
    whole = b"".join(f"\r\n--{boundary}\r\n{headers}\r\n".encode() + part for part in parts)
    return whole + f"\r\n--{boundary}--\r\n".encode()


def stow(vault, *parts, study=None, key=None, body=None, boundary="xx", **headers):
    path = "/dicomweb/studies" + (f"/{study}" if study else "")
    return vault.request("POST", path, key=key,
                         data=multipart(parts, boundary) if body is None else body,
                         headers={"Content-Type": TYPE.format(boundary), **headers})


def values(results, tag):
    """Of each result, the first value of an attribute."""
    return [r[tag]["Value"][0] for r in results]


def failures(reply):
    """Reason and comment of everything that was not stored."""
    body = reply.json()
    return [(item["00081197"]["Value"][0], item["00000902"]["Value"][0])
            for tag in ("00081198", "0008119A") for item in body.get(tag, {}).get("Value", [])]
