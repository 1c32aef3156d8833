// Tokenizes and classifies texts with transformers.js: node transformers_js.mjs FOLDER DTYPE TEXTS
// FOLDER is an artifact for the target edge, TEXTS a JSON file, {"texts": [...], "pairs": [...] or null, "tokens": whether
// tokens are classified, "settings": what the card sets of the tokenizer, where pairs are questions with contexts}. The
// output is one line of JSON: ids and type ids of every text, uncut and cut; labels with scores, or answers; the logits
// of pairs, of all tokens one after another, or of starts and ends.
import { readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import {
  AutoModelForSequenceClassification,
  AutoModelForTokenClassification,
  AutoTokenizer,
  env,
  pipeline,
} from "@huggingface/transformers";

const [folder, dtype, file] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = dirname(folder);
const { texts, pairs, tokens, settings } = JSON.parse(readFileSync(file));
const tokenizer = await AutoTokenizer.from_pretrained(basename(folder));
const read = (truncation) =>
  texts.map((text, row) => {
    const pair = pairs ? { text_pair: pairs[row], return_token_type_ids: true } : {};
    const options = { return_tensor: false, truncation, ...pair };
    const { input_ids, token_type_ids } = tokenizer(text, options);
    return { ids: input_ids, types: token_type_ids ?? null };
  });
const answer = { whole: read(false), cut: read(true) };
if (settings) {
  const reader = await pipeline("question-answering", basename(folder), { dtype });
  Object.assign(reader.tokenizer, settings);
  answer.logits = [];
  answer.predictions = [];
  for (const [row, text] of texts.entries()) {
    const { start_logits, end_logits } = await reader.model(reader.tokenizer(text, { text_pair: pairs[row] }));
    answer.logits.push([Array.from(start_logits.data), Array.from(end_logits.data)]);
    answer.predictions.push(await reader(text, pairs[row]));
  }
} else if (tokens) {
  const model = await AutoModelForTokenClassification.from_pretrained(basename(folder), { dtype });
  const tag = await pipeline("token-classification", basename(folder), { dtype });
  answer.logits = [];
  answer.predictions = [];
  for (const text of texts) {
    answer.logits.push(Array.from((await model(tokenizer(text, { truncation: true }))).logits.data));
    answer.predictions.push(await tag(text, { ignore_labels: [] }));
  }
} else if (pairs) {
  const model = await AutoModelForSequenceClassification.from_pretrained(basename(folder), { dtype });
  answer.logits = [];
  for (const [row, text] of texts.entries()) {
    const options = { text_pair: pairs[row], return_token_type_ids: true, truncation: true };
    answer.logits.push(Array.from((await model(tokenizer(text, options))).logits.data));
  }
} else {
  const classify = await pipeline("text-classification", basename(folder), { dtype });
  answer.predictions = [];
  for (const text of texts) answer.predictions.push(await classify(text, { top_k: null }));
}
console.log(JSON.stringify(answer));
