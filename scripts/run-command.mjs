// @ts-check
// Child processes of the set-up and of the tests.
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * @typedef {object} CommandResult
 * @property {number} status exit status; 128 and more after a signal or a time-out
 * @property {string} output both streams together, in the order of arrival
 */

/**
 * Runs a command and keeps its output; with `show`, the output also goes to the terminal as it comes. A command that
 * cannot be started gives status 127. After `timeoutMs` its process group is ended.
 *
 * @param {string} file
 * @param {string[]} args
 * @param {{ show?: boolean, timeoutMs?: number, env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<CommandResult>}
 */
export function runCommand(file, args, options = {}) {
  return new Promise((resolve) => {
    // A group of its own: a time-out must also reach what the command started.
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], detached: true, env: options.env });
    let output = "";
    /** @param {Buffer} text */
    const collect = (text) => {
      output += text.toString();
      if (options.show) process.stdout.write(text);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    const release = endWithUs(child);
    const timer = options.timeoutMs && setTimeout(() => endGroup(child), options.timeoutMs);
    /** @param {CommandResult} result */
    const finish = (result) => {
      if (timer) clearTimeout(timer);
      release();
      resolve(result);
    };
    child.on("error", (error) => finish({ status: 127, output: `${output}${error.message}\n` }));
    child.on("close", (status) => finish({ status: status ?? 128, output }));
  });
}

/** @param {import("node:child_process").ChildProcess} child */
function endGroup(child) {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    child.kill("SIGKILL");
  }
}

/**
 * A signal that ends this process ends the command's group first, since the terminal's signals do not reach it.
 *
 * @param {import("node:child_process").ChildProcess} child
 * @returns {() => void}
 */
function endWithUs(child) {
  /** @type {NodeJS.Signals[]} */
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  /** @param {NodeJS.Signals} signal */
  const onSignal = (signal) => {
    endGroup(child);
    release();
    process.kill(process.pid, signal);
  };
  const release = () => {
    for (const signal of signals) process.removeListener(signal, onSignal);
  };
  for (const signal of signals) process.on(signal, onSignal);
  return release;
}

/** @param {string} name @returns {boolean} whether PATH has such a program */
export function hasProgram(name) {
  return (process.env.PATH ?? "").split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
