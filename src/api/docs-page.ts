/** GET /docs: a page over /openapi.json. Everything is in it, so that it works where nothing outside can be reached. */

import type { Context } from "hono";
import { html, raw } from "hono/html";
import type { ApiEnv } from "./api-context.js";

const STYLE = `
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark }
  summary { cursor: pointer; padding: .4rem 0 } code { font-size: .95em } td, th { text-align: left; padding: .15rem 1rem .15rem 0; vertical-align: top }
  .method { display: inline-block; min-width: 3.5rem; font-weight: 600 } table { border-collapse: collapse; margin: 0 0 1rem 1rem }`;

/** Text goes in by textContent alone: a description is never read as HTML. */
const SCRIPT = `
  const element = (tag, text, ...children) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    made.append(...children);
    return made;
  };
  const resolve = (api, schema) => schema && schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
  const typeOf = (api, given) => {
    const schema = resolve(api, given) ?? {};
    const options = schema.anyOf ?? schema.oneOf;
    if (options) return [...new Set(options.map((option) => typeOf(api, option)))].join(" or ");
    if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
    if ("const" in schema) return JSON.stringify(schema.const);
    const type = [schema.type ?? "any"].flat().join(" or ");
    const bounds = [["minimum", "from "], ["exclusiveMinimum", "above "], ["maximum", "to "], ["maxLength", "up to "], ["maxItems", "up to "]];
    const bound = bounds.filter(([key]) => typeof schema[key] === "number").map(([key, word]) => word + schema[key]).join(" ");
    return bound ? type + ", " + bound : type;
  };
  const fieldTable = (api, given) => {
    const schema = resolve(api, given);
    const table = element("table", "", element("tr", "", element("th", "field"), element("th", "values"), element("th", "")));
    for (const [name, field] of Object.entries(schema?.properties ?? {})) {
      const note = (schema.required ?? []).includes(name) ? "required" : resolve(api, field)?.description ?? "";
      table.append(element("tr", "", element("td", "", element("code", name)), element("td", typeOf(api, field)), element("td", note)));
    }
    return table;
  };
  const api = await (await fetch("openapi.json")).json();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const title = element("summary", "", element("span", method.toUpperCase()), element("code", path), " " + (operation.summary ?? ""));
      title.firstChild.className = "method";
      const entry = element("details", "", title);
      const body = operation.requestBody?.content["application/json"].schema;
      if (body) entry.append(element("h4", "Request"), fieldTable(api, body));
      const answer = operation.responses["200"]?.content?.["application/json"]?.schema;
      if (answer) entry.append(element("h4", "Answer"), fieldTable(api, answer));
      document.querySelector("main").append(entry);
    }
  }`;

const PAGE = html`<!doctype html>
<html lang="en">
  <head><meta charset="utf-8" /><title>wavekv API</title><style>${raw(STYLE)}</style></head>
  <body>
    <h1>wavekv API</h1>
    <p>The same for machines: <a href="openapi.json">openapi.json</a></p>
    <main></main>
    <script type="module">${raw(SCRIPT)}</script>
  </body>
</html>`;

const HEADERS = {
  "content-security-policy":
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'",
};

/** Only what the page itself holds may run, and only this node may be asked. */
export async function docsPage(c: Context<ApiEnv>) {
  return c.html(await PAGE, 200, HEADERS);
}
