// The page: loads the artifact, hands transformers.js those files alone, and classifies what is typed.

import { env, pipeline } from "./node_modules/@huggingface/transformers/dist/transformers.min.js";
import { loadArtifact } from "./artifact.js";

const DTYPES = { int8: "q8", fp16: "fp16", fp32: "fp32" };
const ENGINE = new URL("node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded", document.baseURI).href;
const SHOWN = 7; // labels
const [text, labels, note, status] = ["text", "labels", "note", "status"].map((id) => document.getElementById(id));

function tell(message, failed = false) {
  status.textContent = message;
  status.classList.toggle("failed", failed);
}

// Returns a classifier over verified bytes: whatever else transformers.js asks for is not there.
async function openClassifier({ manifest, files }) {
  const fits = ["single_label", "multi_label"].includes(manifest.task) && !manifest.paired;
  if (!fits) throw new Error(`this page classifies single texts, and the artifact's task is ${manifest.task}`);
  if (![...files.keys()].some((name) => name.startsWith("onnx/")))
    throw new Error("the artifact was exported without --target edge");
  env.allowLocalModels = true;
  env.allowRemoteModels = env.useBrowserCache = env.useWasmCache = false;
  env.fetch = async (url) => {
    const name = [...files.keys()].find((each) => String(url).endsWith(`/artifact/${each}`));
    return name ? new Response(files.get(name)) : new Response(null, { status: 404 });
  };
  env.localModelPath = "/verified/";
  env.backends.onnx.wasm.wasmPaths = { mjs: `${ENGINE}.mjs`, wasm: `${ENGINE}.wasm` };
  return pipeline("text-classification", "artifact", { dtype: DTYPES[manifest.form.precision], device: "wasm" });
}

function show(scores) {
  labels.replaceChildren(
    ...scores.slice(0, SHOWN).map(({ label, score }) => {
      const row = document.createElement("li");
      const [name, bar, value] = ["span", "meter", "data"].map((tag) => row.appendChild(document.createElement(tag)));
      name.textContent = label;
      bar.value = value.value = score;
      bar.ariaLabel = label;
      value.textContent = `${(100 * score).toFixed(1)}%`;
      return row;
    }),
  );
}

async function classify(classifier, most) {
  const asked = text.value;
  if (!asked.trim()) return show([]), (note.textContent = "");
  const begun = performance.now();
  const scores = await classifier(asked, { top_k: null });
  if (asked !== text.value) return; // typed on: a newer answer is under way
  const tokens = classifier.tokenizer(asked, { return_tensor: false, truncation: false }).input_ids.length;
  const cut = tokens > most ? `; only the first ${most} are read` : "";
  show(scores);
  note.textContent = `${tokens} tokens${cut}, ${(performance.now() - begun).toFixed(0)} ms`;
}

try {
  const { artifact, manifestSha256 } = document.body.dataset;
  const found = await loadArtifact(artifact, manifestSha256, tell);
  const classifier = await openClassifier(found);
  await classifier("the first run allocates"); // and takes longer than all others
  const from = found.loaded ? `${(found.loaded / 1e6).toFixed(1)} MB loaded` : "from this browser's cache";
  tell(`Verified, ${from}. What you write stays in this page.`);
  let waiting;
  text.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => classify(classifier, found.manifest.max_tokens).catch((error) => tell(error.message, true)), 100);
  });
  text.disabled = false;
  text.focus();
} catch (error) {
  tell(`This page cannot classify: ${error.message}`, true);
}
