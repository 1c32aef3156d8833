// Runs a model in onnxruntime-web (WebAssembly) and prints its logits: node onnxruntime_web.mjs MODEL FEED
// FEED is a JSON file, {"input_ids": [[...], ...], ...}. The output is one line of JSON.
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web";

const [model, feed] = process.argv.slice(2).map((path) => readFileSync(path));
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"] });
const tensors = {};
for (const [name, rows] of Object.entries(JSON.parse(feed))) {
  tensors[name] = new ort.Tensor("int64", BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0].length]);
}
const { logits } = await session.run(tensors);
console.log(JSON.stringify({ inputs: session.inputNames, shape: logits.dims, logits: Array.from(logits.data) }));
