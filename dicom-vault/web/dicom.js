// DICOM as DICOMweb tells it: the JSON of PS3.18, annex F.

export const TAG = {
  modality: "00080060", modalities: "00080061", studyDate: "00080020", accession: "00080050",
  studyDescription: "00081030", seriesDescription: "0008103E", sopInstance: "00080018",
  errorComment: "00000902", failedSop: "00081198", otherFailures: "0008119A",
  patientName: "00100010", patientId: "00100020", study: "0020000D", series: "0020000E", seriesNumber: "00200011",
  instanceNumber: "00200013", seriesInStudy: "00201206", instancesInStudy: "00201208",
  instancesInSeries: "00201209", samples: "00280002", photometric: "00280004",
  frames: "00280008", rows: "00280010", columns: "00280011", allocated: "00280100",
  stored: "00280101", highBit: "00280102", signed: "00280103", center: "00281050",
  width: "00281051", intercept: "00281052", slope: "00281053",
};

// A person's name has groups; everything else is a value.
export function plain(v) {
  if (v === null || v === undefined) return "";
  if (typeof v !== "object") return v;
  return (v.Alphabetic || v.Ideographic || v.Phonetic || "").replaceAll("^", " ").trim();
}

export const values = (set, tag) => (set[tag]?.Value || []).map(plain);
export const text = (set, tag) => String(values(set, tag)[0] ?? "");

// Numbers come as numbers or, where they are decimal strings, as text.
export function number(set, tag, otherwise) {
  const [v] = values(set, tag);
  const n = v === undefined || v === "" ? NaN : Number(v);
  return Number.isFinite(n) ? n : otherwise;
}

// 20040119 as the reader's calendar has it.
export function date(set, tag) {
  const m = /^(\d{4})(\d\d)(\d\d)$/.exec(text(set, tag));
  return m ? new Date(m[1], m[2] - 1, m[3]).toLocaleDateString([], { dateStyle: "medium" })
    : text(set, tag);
}
