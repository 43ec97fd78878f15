// The key stays in the input field: neither storage nor a cookie ever holds it.
const $ = id => document.getElementById(id);
let next = null;

async function call(path, options = {}) {
  const headers = { ...options.headers, authorization: `Bearer ${$('key').value}` };
  const reply = await fetch(path, { ...options, headers });
  if (!reply.ok) {
    const problem = await reply.json();
    throw new Error(`${problem.title}${problem.detail ? `: ${problem.detail}` : ''}`);
  }
  return reply;
}

async function attempt(work) {
  $('said').textContent = '';
  try {
    await work();
  } catch (error) {
    $('said').textContent = error.message;
  }
}

async function download(file) {
  const url = URL.createObjectURL(await (await call(`/files/${file.id}`)).blob());
  const link = Object.assign(document.createElement('a'), { href: url, download: file.name || file.id });
  link.click();
  URL.revokeObjectURL(url);
}

async function remove(file, row) {
  await call(`/files/${file.id}`, { method: 'DELETE' });
  row.remove();
}

function button(text, work) {
  const b = Object.assign(document.createElement('button'), { textContent: text });
  b.addEventListener('click', () => attempt(work));
  return b;
}

function show(file) {
  const row = $('files').insertRow();
  const cells = file.damaged ? [file.id, '', '', 'damaged'] : [file.name || file.id, file.size, file.created, file.sha256];
  for (const text of cells) row.insertCell().textContent = text;
  row.insertCell().append(button('Get', () => download(file)), button('Delete', () => remove(file, row)));
}

async function list(after) {
  const page = await (await call(`/files?limit=50${after ? `&after=${after}` : ''}`)).json();
  if (!after) $('files').replaceChildren();
  page.files.forEach(show);
  next = page.next;
  $('more').hidden = !next;
}

async function store() {
  const file = $('file').files[0];
  const name = encodeURIComponent(file.name).replace(/['()*]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const headers = { 'content-disposition': `attachment; filename*=UTF-8''${name}` };
  const stored = await (await call('/files', { method: 'POST', body: file, headers })).json();
  await list();
  $('said').textContent = `Stored as ${stored.id}`;
}

$('store').addEventListener('submit', event => {
  event.preventDefault();
  attempt(store);
});
$('list').addEventListener('click', () => attempt(() => list()));
$('more').addEventListener('click', () => attempt(() => list(next)));
