// The viewer's table of tags.

import { plain } from "./dicom.js";
import { $, element, row } from "./ui.js";

const NAMES = `00020010 Transfer Syntax UID|00080005 Specific Character Set|00080008 Image Type
00080012 Instance Creation Date|00080013 Instance Creation Time|00080016 SOP Class UID
00080018 SOP Instance UID|00080020 Study Date|00080021 Series Date|00080022 Acquisition Date
00080023 Content Date|00080030 Study Time|00080031 Series Time|00080032 Acquisition Time
00080033 Content Time|00080050 Accession Number|00080060 Modality|00080061 Modalities in Study
00080064 Conversion Type|00080070 Manufacturer|00080080 Institution Name
00080081 Institution Address|00080090 Referring Physician's Name|00080100 Code Value
00080102 Coding Scheme Designator|00080104 Code Meaning|00081010 Station Name
00081030 Study Description|0008103E Series Description|00081040 Institutional Department Name
00081048 Physicians of Record|00081050 Performing Physician's Name
00081060 Name of Physicians Reading Study|00081070 Operators' Name
00081090 Manufacturer's Model Name|00081110 Referenced Study Sequence
00081111 Referenced Performed Procedure Step Sequence|00081115 Referenced Series Sequence
00081140 Referenced Image Sequence|00081150 Referenced SOP Class UID
00081155 Referenced SOP Instance UID|00081190 Retrieve URL|00082111 Derivation Description
00082112 Source Image Sequence|00100010 Patient's Name|00100020 Patient ID
00100030 Patient's Birth Date|00100040 Patient's Sex|00101010 Patient's Age
00101020 Patient's Size|00101030 Patient's Weight|00104000 Patient Comments
00180010 Contrast/Bolus Agent|00180015 Body Part Examined|00180020 Scanning Sequence
00180021 Sequence Variant|00180022 Scan Options|00180023 MR Acquisition Type
00180050 Slice Thickness|00180060 KVP|00180080 Repetition Time|00180081 Echo Time
00180087 Magnetic Field Strength|00180088 Spacing Between Slices|00181000 Device Serial Number
00181020 Software Versions|00181030 Protocol Name|00181063 Frame Time
00181100 Reconstruction Diameter|00181120 Gantry/Detector Tilt|00181150 Exposure Time|00181151 X-Ray Tube Current|00181152 Exposure
00181210 Convolution Kernel|00185100 Patient Position|0020000D Study Instance UID
0020000E Series Instance UID|00200010 Study ID|00200011 Series Number|00200012 Acquisition Number
00200013 Instance Number|00200020 Patient Orientation|00200032 Image Position (Patient)
00200037 Image Orientation (Patient)|00200052 Frame of Reference UID|00200060 Laterality
00201040 Position Reference Indicator|00201041 Slice Location
00201206 Number of Study Related Series|00201208 Number of Study Related Instances
00201209 Number of Series Related Instances|00204000 Image Comments|00280002 Samples per Pixel
00280004 Photometric Interpretation|00280006 Planar Configuration|00280008 Number of Frames
00280009 Frame Increment Pointer|00280010 Rows|00280011 Columns|00280030 Pixel Spacing
00280034 Pixel Aspect Ratio|00280100 Bits Allocated|00280101 Bits Stored|00280102 High Bit
00280103 Pixel Representation|00280106 Smallest Image Pixel Value
00280107 Largest Image Pixel Value|00280120 Pixel Padding Value|00281050 Window Center
00281051 Window Width|00281052 Rescale Intercept|00281053 Rescale Slope|00281054 Rescale Type
00281055 Window Center & Width Explanation|00282110 Lossy Image Compression
00321032 Requesting Physician|00321060 Requested Procedure Description|0040A730 Content Sequence
7FE00010 Pixel Data`;

const nameOf = new Map(NAMES.split(/[|\n]/).map((line) => [line.slice(0, 8), line.slice(9)]));

function shown(entry) {
  if (entry.BulkDataURI) return "(fetched on its own)";
  if (entry.InlineBinary) return `(binary, ${entry.InlineBinary.length} characters of base64)`;
  return (entry.Value || []).map(plain).join(" \\ ");
}

// The data set as lines {depth, tag, name, value}, what is nested indented behind its sequence.
function lines(set, depth = 0) {
  // Names that look like numbers would come first.
  return Object.entries(set).sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([tag, entry]) => {
    const items = entry.vr === "SQ" ? entry.Value || [] : null;
    const odd = /^[0-9A-F]{3}[13579BDF]/i.test(tag);
    const line = { depth, tag: `(${tag.slice(0, 4)},${tag.slice(4)})`,
      name: nameOf.get(tag.toUpperCase()) || (odd ? "private" : ""),
      value: items ? (items.length === 1 ? "1 item" : `${items.length} items`) : shown(entry) };
    return [line, ...(items || []).flatMap((item) => lines(item || {}, depth + 1))];
  });
}

let listed = [];

function draw() {
  const wanted = $("tags-find").value.trim().toLowerCase();
  const fits = (l) => `${l.tag} ${l.name} ${l.value}`.toLowerCase().includes(wanted);
  $("tag-list").replaceChildren(...listed.filter(fits).map((l) => {
    const tr = row(element("code", "", "· ".repeat(l.depth), l.tag), l.name, l.value);
    tr.children[2].className = "value";
    return tr;
  }));
}

export function showTags(set) {
  listed = lines(set);
  draw();
}

$("tags-find").addEventListener("input", draw);
