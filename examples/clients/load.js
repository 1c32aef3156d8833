// A load test for k6: requests come at a rate, whether or not the server keeps up with it.
//
//     k6 run -e URL=http://127.0.0.1:8080 -e RATE=200 -e SECONDS=30 examples/clients/load.js
//
// A server that is full refuses at once (429), so two numbers matter: the latency of what was answered
// (http_req_duration, expected_response:true), and which share was refused. Put texts of your own into TEXTS: their
// length decides everything.
import { check } from "k6";
import http from "k6/http";
import { Rate } from "k6/metrics";

const TEXTS = ["great film", "dull and far too long, and I left before the end", "two hours well spent"];
const refused = new Rate("refused");

export const options = {
  scenarios: {
    arrivals: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 50),
      duration: `${__ENV.SECONDS || 30}s`,
      preAllocatedVUs: 50,
      maxVUs: 500,
    },
  },
  thresholds: {
    "http_req_duration{expected_response:true}": ["p(99)<100"], // ms
    checks: ["rate>0.999"],
    refused: ["rate<0.01"],
  },
};

export default function () {
  const text = TEXTS[Math.floor(Math.random() * TEXTS.length)];
  const answer = http.post(`${__ENV.URL || "http://127.0.0.1:8080"}/predict`, JSON.stringify({ inputs: text }), {
    headers: { "Content-Type": "application/json" },
    timeout: "10s",
  });
  refused.add(answer.status === 429);
  check(answer, {
    "answered, or refused with Retry-After": ({ status, headers }) =>
      status === 200 ? answer.json()[0].label !== undefined : status === 429 && Number(headers["Retry-After"]) > 0,
  });
}
