// The files of an artifact, each checked against the SHA-256 that manifest.json says, and kept by it in the browser's
// cache: a later visit loads the manifest alone, and a new artifact only what has changed.

const KEPT = "liteft-artifacts";

export async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function download(url) {
  const answer = await fetch(url, { cache: "no-cache" });
  if (!answer.ok) throw new Error(`${url} cannot be loaded: ${answer.status} ${answer.statusText}`);
  return answer.arrayBuffer();
}

// Returns the manifest, the bytes of the files that a browser needs by their names, and how many bytes were loaded.
// `pinned` is the hash that the manifest itself must have; "" for any.
export async function loadArtifact(folder, pinned, tell) {
  const content = await download(`${folder}manifest.json`);
  if (pinned && (await sha256(content)) !== pinned) throw new Error("manifest.json is not the one that this page names");
  const manifest = JSON.parse(new TextDecoder().decode(content));
  const names = Object.keys(manifest.files).filter((name) => /^(config|tokenizer|tokenizer_config)\.json$|\.onnx$/.test(name));
  const cache = await caches.open(KEPT);
  const place = (hash) => new URL(`${folder}sha256/${hash}`, location.href).href;
  const files = new Map();
  let loaded = 0;
  for (const name of names) {
    const { sha256: expected, bytes: size } = manifest.files[name];
    let bytes = await (await cache.match(place(expected)))?.arrayBuffer();
    if (bytes === undefined || (await sha256(bytes)) !== expected) {
      tell(`Loading ${name}, ${(size / 1e6).toFixed(1)} MB`);
      bytes = await download(folder + name);
      if ((await sha256(bytes)) !== expected) throw new Error(`${name} is not the file that manifest.json describes`);
      await cache.put(place(expected), new Response(bytes));
      loaded += size;
    }
    files.set(name, bytes);
  }
  const current = new Set(names.map((name) => place(manifest.files[name].sha256)));
  for (const { url } of await cache.keys()) if (url.startsWith(place("")) && !current.has(url)) await cache.delete(url);
  return { manifest, files, loaded };
}
