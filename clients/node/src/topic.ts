// Topics are dotted paths such as prices.eu.bund. A subscription names a pattern: the element * stands for any one
// element, and a last element > for the path before it and all below it.
import { BlazeError } from "./errors.js";

/** The longest topic or pattern, in bytes of UTF-8. */
export const MAX_TOPIC_BYTES = 255;

function invalid(text: string): BlazeError {
  return new BlazeError("ErrTopic", `invalid topic: ${text}`);
}

const quote = (s: string): string => JSON.stringify(s);
const control = /\p{Cc}/u;

/** Throws an ErrTopic unless messages can be published on path. */
export function validateTopic(path: string): void {
  if (/[*>]/.test(path)) throw invalid(`${quote(path)}: * and > are for subscriptions`);
  validatePattern(path);
}

/** Throws an ErrTopic unless pattern, which may have wildcards, can be subscribed to. */
export function validatePattern(pattern: string): void {
  if (pattern === "") throw invalid("it is empty");
  if (!pattern.isWellFormed()) throw invalid(`${quote(pattern)}: an unpaired surrogate has no UTF-8`);
  const n = Buffer.byteLength(pattern, "utf8");
  if (n > MAX_TOPIC_BYTES) throw invalid(`${quote(pattern.slice(0, 32))}…: ${n} bytes, at most ${MAX_TOPIC_BYTES} allowed`);
  if (control.test(pattern)) throw invalid(`${quote(pattern)}: it has a control character`);
  const elements = pattern.split(".");
  elements.forEach((e, i) => {
    if (e === "") throw invalid(`${quote(pattern)}: an element is empty`);
    if (e === ">" && i < elements.length - 1) throw invalid(`${quote(pattern)}: > must be the last element`);
    if (e !== "*" && e !== ">" && /[*>]/.test(e)) throw invalid(`${quote(pattern)}: * and > must be whole elements`);
  });
}

/** Reports whether topic matches pattern, which is valid. The topic comes from the network and may be anything. */
export function matches(pattern: string, topic: string): boolean {
  let j = 0; // topic up to j has been matched by pattern up to i
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i];
    if (c === ">") return true;
    if (c === "*") {
      while (j < topic.length && topic[j] !== ".") j++;
    } else if (j < topic.length && topic[j] === c) {
      j++;
    } else {
      return j === topic.length && i === pattern.length - 2 && pattern.endsWith(".>"); // the path itself
    }
  }
  return j === topic.length;
}

/** Reports whether pattern looks like one of MQTT or AMQP, whose wildcards are ordinary characters here. */
export function foreignWildcards(pattern: string): boolean {
  return pattern.includes("/") || pattern.split(".").some((e) => e === "#" || e === "+");
}
