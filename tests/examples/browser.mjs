// Opens the page of examples/browser in headless Chromium, does steps, and prints what it shows:
// node browser.mjs CHROMIUM ADDRESS STEPS. STEPS is a list in JSON; a step is a text to classify, null to load the page
// again, {"copy": [FROM, TO]} to change what the server has, or {"picture": FILE}. The output is one line of JSON: at
// the start and after every step the status, the labels with their scores, the note, and which paths were asked for.
import { cpSync } from "node:fs";
import puppeteer from "puppeteer-core";

const [executablePath, address, steps] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
try {
  const page = await browser.newPage();
  await page.setViewport({ width: 800, height: 640 });
  let asked = [];
  const errors = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  const shown = [];
  const settled = () =>
    page.waitForFunction(
      () => /^(Verified|This page cannot)/.test(document.getElementById("status").textContent),
      { timeout: 60000 },
    );
  await page.goto(address);
  await settled();
  for (const step of [undefined, ...JSON.parse(steps)]) {
    if (step === null) {
      asked = [];
      await page.reload();
      await settled();
    } else if (step?.picture) {
      await page.screenshot({ path: step.picture });
    } else if (step?.copy) {
      cpSync(...step.copy, { recursive: true });
    } else if (step !== undefined) {
      await page.evaluate((text) => {
        document.getElementById("note").textContent = "";
        const field = document.getElementById("text");
        field.value = text;
        field.dispatchEvent(new Event("input"));
      }, step);
      await page.waitForFunction(() => document.getElementById("note").textContent !== "", { timeout: 30000 });
    }
    shown.push({
      ...(await page.evaluate(() => ({
        status: document.getElementById("status").textContent,
        note: document.getElementById("note").textContent,
        ready: !document.getElementById("text").disabled,
        labels: Array.from(document.querySelectorAll("#labels li"), (row) => [
          row.querySelector("span").textContent,
          Number(row.querySelector("data").value),
        ]),
      }))),
      asked: asked.map((url) => new URL(url).pathname),
      others: asked.filter((url) => !url.startsWith(address) && !/^(blob|data):/.test(url)),
      errors,
    });
  }
  console.log(JSON.stringify(shown));
} finally {
  await browser.close();
}
