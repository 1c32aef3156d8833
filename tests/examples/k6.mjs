// Runs a k6 script under node, once, with k6's modules as far as it needs them: node k6.mjs SCRIPT URL
// Requests are k6's own kind, which wait for the answer, here by curl. The output is one line of JSON: the options, the
// result of each check, and what was added to each metric.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [script, url, folder] = process.argv.slice(2);
const seen = { checks: {}, added: {} };
globalThis.__ENV = { URL: url };
globalThis.k6 = {
  check(value, tests) {
    for (const [name, test] of Object.entries(tests)) seen.checks[name] = test(value);
  },
  Rate: class {
    constructor(name) {
      this.name = name;
    }
    add(value) {
      (seen.added[this.name] ??= []).push(value);
    }
  },
  post(address, body, { headers }) {
    const given = Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
    const answer = execFileSync("curl", ["--silent", "--include", ...given, "--data", body, address]).toString();
    const [head, content] = answer.split("\r\n\r\n");
    const [first, ...lines] = head.split("\r\n");
    const canonical = (name) => name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase()); // as Go writes them
    const named = lines.map((line) => line.split(": ")).map(([name, value]) => [canonical(name), value]);
    return { status: Number(first.split(" ")[1]), headers: Object.fromEntries(named), json: () => JSON.parse(content) };
  },
};
mkdirSync(join(folder, "node_modules", "k6"), { recursive: true });
const modules = {
  "index.js": "export const { check } = globalThis.k6;",
  "http.js": "export default { post: globalThis.k6.post };",
  "metrics.js": "export const { Rate } = globalThis.k6;",
  "package.json": JSON.stringify({
    type: "module",
    exports: { ".": "./index.js", "./http": "./http.js", "./metrics": "./metrics.js" },
  }),
};
for (const [name, content] of Object.entries(modules)) writeFileSync(join(folder, "node_modules", "k6", name), content);
cpSync(script, join(folder, "script.mjs"));
const { default: run, options } = await import(pathToFileURL(join(folder, "script.mjs")));
run();
console.log(JSON.stringify({ options, ...seen }));
