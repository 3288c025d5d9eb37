import { createApp } from "./app.js";

/** Entry point of the Worker (wrangler.toml). */
export default createApp();
